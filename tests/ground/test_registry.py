"""What other packages bring: an error that names the package, whatever is wrong with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mindanim.decoders.base import DECODERS
from mindanim.decoders.build import registered
from mindanim.errors import ConfigError, MissingError
from mindanim.generation.samplers import SAMPLERS
from mindanim.metrics.families.metric import METRICS
from mindanim.studies.base import READERS
from mindanim.vocabulary.registry import Registry
from tests.plugins import install

REGISTRIES: list[Registry[object]] = [METRICS, SAMPLERS, DECODERS, READERS]  # type: ignore[list-item]


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.thing)
@pytest.mark.parametrize(
    ("source", "what", "why"),
    [
        ("1 / 0", "cannot be loaded", "ZeroDivisionError"),
        ("def broken(:", "cannot be loaded", "SyntaxError"),
        ("import no_such_module", "cannot be loaded", "no_such_module"),
        ("other = 1", "cannot be loaded", "thing"),
        ("thing = 7", "plugged:thing is not a", "type int"),
    ],
)
def test_what_does_not_load_or_is_something_else_names_its_package(
    registry: Registry[object],
    source: str,
    what: str,
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(tmp_path, registry.group, "theirs", "plugged:thing", source, monkeypatch)
    with pytest.raises(MissingError, match=what) as caught:
        registry["theirs"]
    assert why in caught.value.why and "plugged 1.2" in caught.value.hint


def built_in(registry: Registry[object]) -> str:
    registered()  # decoders register when they are first asked for
    return next(iter(registry))


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.thing)
def test_a_name_of_ours_is_not_taken_over_or_ignored(
    registry: Registry[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = built_in(registry)
    assert registry[ours] is not None
    install(tmp_path, registry.group, ours, "plugged:thing", "thing = 7", monkeypatch)
    with pytest.raises(ConfigError, match=f"plugged 1.2 brings a {registry.thing} called {re.escape(ours)}"):
        registry[ours]


def test_two_packages_bring_the_same_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry: Registry[int] = Registry("toy", int)
    install(tmp_path / "one", registry.group, "theirs", "plugged:thing", "thing = 7", monkeypatch)
    assert registry["theirs"] == 7
    # The same package twice on the path is one package.
    install(tmp_path / "again", registry.group, "theirs", "plugged:thing", "thing = 7", monkeypatch)
    assert registry["theirs"] == 7
    other = tmp_path / "two" / "rival-0.3.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: rival\nVersion: 0.3\n")
    (other / "entry_points.txt").write_text(f"[{registry.group}]\ntheirs = plugged:thing\n")
    monkeypatch.syspath_prepend(tmp_path / "two")
    with pytest.raises(ConfigError, match=r"plugged 1\.2 and rival 0\.3 both bring a toy called theirs"):
        registry["theirs"]
