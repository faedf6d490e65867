"""The page: its content, that it is self-contained, and that a browser loads it without complaint."""

from __future__ import annotations

import base64
import io
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mindanim.report import ClipView
from mindanim.report.bibliography import bibliography
from mindanim.report.clip_choice import sections
from mindanim.report.evaluation_page import write_report
from mindanim.report.figures import score_bar, training_curve
from mindanim.report.film_strips import LARGEST_PX, strip, strips
from tests.report.inputs import (
    FRAMES,
    SIDE,
    curves,
    metrics,
    per_clip,
    report_arguments,
    score,
    square,
    views,
)

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
VOID = {"meta", "link", "img", "br", "hr", "input", "path", "rect", "line", "polyline"}


class Page(HTMLParser):
    """Every element with its attributes, and the text; an element closed out of turn is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID or tag == "path":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(path, **report_arguments())
    return path


@pytest.fixture(scope="module")
def page(file: Path) -> Page:
    return Page(file.read_text(encoding="utf-8"))


def decoded(source: str) -> np.ndarray:
    data = base64.b64decode(source.removeprefix("data:image/webp;base64,"))
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_every_part_of_the_result_is_on_the_page(page: Page) -> None:
    text = " ".join(page.words.split())
    assert "7 of 8 scores are reliably above" in text
    for entry in metrics()["scores"]:
        assert entry["name"] in text
        assert entry["id"] in text
    for words in (
        "Quoted, definitions differ.",
        "3 test clips look like training clips.",
        "Run test2_9 is 10 s late <dropped>.",
        "Responses were z-scored with training statistics.",
        "nearest-train is missing: training frames are not kept.",
        "Played at 4 frames per second, the speed of the film.",
        "120 clips, 999 orders: p = 0.001 for the set",
        "Played backwards: −0.110; forwards against backwards: p = 0.001",
        "mean 0.450 wins · gray 0.470 wins · frozen 0.405",
        "made with Python 3",
        "Motion: no curve, because it was not trained over several epochs.",
        "a large red box over <the> sea & sky 3",
    ):
        assert words in text, words


def test_the_page_asks_nothing_of_the_network(file: Path, page: Page) -> None:
    for tag, attributes in page.elements:
        for name in ("src", "href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, value)
    policy = [m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy[0] is not None
    assert policy[0].startswith("default-src 'none'")
    assert not re.search(r"url\(|@import|https?://", file.read_text(encoding="utf-8"))


def test_every_clip_is_there_once_with_words_for_those_who_do_not_see_it(page: Page) -> None:
    images = page.all("img")
    assert len(images) == 14 * 5
    assert all(image["alt"] for image in images)
    assert len({image["src"] for image in images}) > 14 * 4, "no picture is stored twice"
    svgs = [svg for svg in page.all("svg") if svg.get("aria-hidden") != "true"]
    assert svgs
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in svgs)
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(head.get("scope") for head in page.all("th"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {link["href"] for link in page.all("a")}
    assert targets <= {f"#{name}" for name in ids}


def test_best_median_and_worst_come_first(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    shown = re.findall(r'<p class="id">(test1-\d+)', text)
    ranked = [view.clip_id for view in sorted(views(), key=lambda view: -view.score)]
    assert shown[:3] == ranked[:3]
    assert shown[3:6] == ranked[5:8]
    assert shown[6:9] == ranked[-3:]
    assert sorted(shown) == sorted(ranked)
    headings = re.findall(r"<h3>(Best|Median|Worst|The other .*)</h3>", text)
    assert headings == ["Best", "Median", "Worst", "The other clips (5), drawn at random, best first"]


def test_clips_that_are_not_ranked_are_in_one_section() -> None:
    shown = strips([replace(view, score=float("nan")) for view in views(4)], 1_000_000)
    ((heading, clips),) = sections(shown, total=4)
    assert heading == "Clips (4)" and clips == shown


def test_small_clips_are_stored_without_loss() -> None:
    clip = square(3)
    made = strip("Ground truth", clip, 100_000)
    assert (made.frames, made.width, made.height, made.lossless) == (FRAMES, SIDE, SIDE, True)
    np.testing.assert_array_equal(decoded(made.source), np.concatenate(list(clip), axis=1))


def test_what_stands_still_is_one_frame_and_what_is_the_same_is_encoded_once() -> None:
    still = np.broadcast_to(square(3)[:1], square(3).shape)
    assert strip("frozen", still, 100_000).frames == 1
    pair = [ClipView(name, "", 0.0, square(3), still, {"mean-image": still}) for name in "ab"]
    shown = strips(pair, 1_000_000)
    assert {clip.others[0].source for clip in shown} == {shown[0].main[1].source}
    assert [clip.others[0].name for clip in shown] == ["mean-image"] * 2


def test_large_clips_are_reduced_and_keep_to_the_budget() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (8, 512, 384, 3), dtype=np.uint8)
    made = strip("noise", noise, 80_000)
    assert (made.height, made.width) == (LARGEST_PX, LARGEST_PX * 3 // 4)
    tight = strip("noise", noise, 20_000)
    assert tight.height < LARGEST_PX and len(tight.source) < 20_100, "smaller where quality does not suffice"
    assert not made.lossless
    assert len(made.source) < 80_100
    assert decoded(made.source).shape == (LARGEST_PX, 8 * made.width, 3)
    many = strips([view for view in views(4, side=256)], budget_bytes=200_000)
    assert sum(len(s.source) for clip in many for s in (*clip.main, *clip.others)) < 210_000


def test_a_report_of_100_clips_stays_below_20_megabytes(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    clips = [view.__class__(view.clip_id, "", 0.0, noise, noise, {"a": noise}) for view in views(1)] * 100
    write_report(tmp_path / "report.html", **report_arguments(clips=clips))
    assert (tmp_path / "report.html").stat().st_size < 20_000_000


def test_a_bar_places_better_to_the_right_whatever_the_direction() -> None:
    def at(drawn: str, kind: str) -> float:
        found = re.search(rf'class="{kind}" d="M(-?[\d.]+)', drawn)
        assert found
        return float(found[1])

    higher = score("a", "A", "pixel", 0.4, 0.2, oracle=0.8)
    lower = score("b", "B", "motion", 2.0, 3.0, oracle=1.0, direction="lower", bounds=(0.0, None))
    for entry in (higher, lower):
        drawn = score_bar(entry)
        assert at(drawn, "shuffled") < at(drawn, "value") < at(drawn, "ceiling")
        assert "oracle" in drawn
    alone = score_bar(score("c", "C", "pixel", None, None))
    assert "value" not in alone
    edge = score_bar(score("d", "D", "pixel", 1.0, 1.0, bounds=(0.0, 1.0)))
    assert "nan" not in edge


def test_an_interval_beyond_the_bounds_stays_on_its_bar() -> None:
    wild = score("a", "A", "pixel", 0.03, 0.02, bounds=(0.0, 1.0)) | {"ci": [-7.3, 7.4]}
    drawn = str(score_bar(wild))
    band = re.search(r'class="interval" d="M(-?[\d.]+) [\d.]+H(-?[\d.]+)', drawn)
    assert band and 0 <= float(band[1]) < float(band[2]) <= 240
    assert "−7.30 to 7.40" in drawn, "the words tell all of it"


def test_what_the_methods_cite_and_what_was_scored_stands_in_the_bibliography() -> None:
    cited = "Denoised from there (SDEdit, Meng et al. 2022) by DPM-Solver++ steps (Lu et al. 2022)."
    works = " ".join(bibliography(metrics(), [cited]))
    for name in ("Meng C", "Lu C", "Lu Y", "Wang Z", "Farnebäck", "Holm"):
        assert name in works
    assert "Karras" not in works and "Benjamini" not in works
    assert "Lu Y" not in " ".join(bibliography(metrics(source={"layout": "plain"}), []))


def test_clips_from_elsewhere_are_not_said_to_have_been_audited(tmp_path: Path) -> None:
    clean = {"audit": [], "source": {"layout": "plain"}}
    write_report(tmp_path / "page.html", **report_arguments(metrics=metrics(**clean), findings=[]))
    text = Page((tmp_path / "page.html").read_text(encoding="utf-8")).words
    assert "could not be checked" in text and "No stage found anything" not in text


def test_a_decoder_without_epochs_has_no_curve() -> None:
    semantic, structure, motion = curves()
    assert "kept: epoch 28" in str(training_curve(semantic))
    assert "kept" not in str(training_curve(structure))
    assert training_curve(motion) is None


def test_a_poor_result_makes_a_page_too(tmp_path: Path) -> None:
    bare = metrics(
        scores=[score("ssim.rgb7", "SSIM", "pixel", None, None)],
        motion_test=None, quoted=[], audit=[], subset="5 of 120 clips", label="seed2",
    )  # fmt: skip
    for key in ("floors_missing", "ceilings_missing", "refused", "block_rule"):
        bare.pop(key)
    empty = {"clips": [], "curves": [], "provenance": [], "methods": [], "findings": [], "fps": None}
    write_report(tmp_path / "bare.html", **report_arguments(metrics=bare, per_clip=per_clip(5), **empty))
    words = " ".join(Page((tmp_path / "bare.html").read_text(encoding="utf-8")).words.split())
    assert "simulated, subject 1, seed2" in words
    assert "No stage found anything that puts these scores in doubt." in words
    assert "Subset: 5 of 120 clips" in words


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not on this machine")
def test_a_browser_loads_everything_and_complains_of_nothing(file: Path, tmp_path: Path) -> None:
    probe = """<script>addEventListener("load", async () => {
      for (const part of document.querySelectorAll("details")) part.open = true;
      for (const image of document.images) image.loading = "eager";
      const late = [...document.images].filter((image) => !image.complete);
      await Promise.all(late.map((image) => new Promise((done) => { image.onload = image.onerror = done; })));
      const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
      document.querySelector("#per-clip th:nth-child(3) button").click();
      document.querySelector("#per-clip th:nth-child(3) button").click();
      const cells = [...document.querySelectorAll("#per-clip tbody td:nth-child(3)")];
      const values = cells.map((cell) => +cell.dataset.value);
      const falling = values.every((v, i) => i === 0 || values[i - 1] >= v);
      const film = getComputedStyle(document.querySelector(".film img"));
      const speed = film.animationDuration + " " + film.animationTimingFunction;
      document.getElementById("play").click();
      const paused = getComputedStyle(document.querySelector(".film img")).animationPlayState;
      const broken = [...document.images].filter((image) => !image.naturalWidth).length;
      document.body.dataset.probe = JSON.stringify({ wide, falling, speed, paused, broken });
    });</script>"""
    probed = tmp_path / "probed.html"
    probed.write_text(file.read_text(encoding="utf-8") + probe, encoding="utf-8")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    options += [
        "--window-size=480,900",
        "--virtual-time-budget=30000",
        "--enable-logging=stderr",
        "--dump-dom",
    ]
    done = subprocess.run(
        [str(CHROMIUM), *options, probed.as_uri()], capture_output=True, text=True, timeout=300, check=True
    )
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert complaints == []
    found = re.search(r'data-probe="([^"]*)"', done.stdout)
    assert found, "the page's scripts did not run"
    assert found[1].replace("&quot;", '"') == (
        '{"wide":0,"falling":true,"speed":"2s steps(8)","paused":"paused","broken":0}'
    )
