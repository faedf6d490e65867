"""Identity: which changes make another artifact."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindanim.artifacts import Source, fingerprint, identity_of
from mindanim.artifacts.identity import changed_files
from mindanim.errors import InputError
from tests.ground.toy import SOURCE, ToyConfig

OTHER = {
    "factor": 3.0,
    "rows": 4,
    "mode": "fancy",
    "lags": (4.0, 6.0),
    "pair": (2, 1),
    "limit": 0,
    "names": ("V1",),
    "note": "x",
    "careful": False,
    "seed": 1,
}
SEMANTIC = st.sampled_from(sorted(OTHER))
IDENTITY = identity_of("fmri", ToyConfig(), {"numbers": SOURCE})


@pytest.mark.parametrize("name", sorted(OTHER))
def test_every_semantic_option_counts(name: str) -> None:
    config = ToyConfig.model_validate({name: OTHER[name]})
    assert identity_of("fmri", config, {"numbers": SOURCE}) != IDENTITY


def test_options_that_do_not_change_the_result_do_not_count() -> None:
    config = ToyConfig(clip="/another/place", chunk=1)
    assert identity_of("fmri", config, {"numbers": SOURCE}) == IDENTITY


@given(st.lists(SEMANTIC, unique=True), st.randoms(use_true_random=False))
def test_the_order_of_options_and_inputs_does_not_count(names: list[str], random: object) -> None:
    inputs = {name: Source(name, name * 8) for name in "abcd"}
    config = ToyConfig.model_validate({name: OTHER[name] for name in names})
    mixed_names, mixed_inputs = list(names), list(inputs)
    random.shuffle(mixed_names)  # type: ignore[attr-defined]
    random.shuffle(mixed_inputs)  # type: ignore[attr-defined]
    again = ToyConfig.model_validate({name: OTHER[name] for name in mixed_names})
    assert identity_of("fmri", config, inputs) == identity_of(
        "fmri", again, {name: inputs[name] for name in mixed_inputs}
    )


@given(st.lists(SEMANTIC, unique=True), st.lists(SEMANTIC, unique=True))
def test_two_configs_share_an_identity_only_when_they_are_equal(first: list[str], second: list[str]) -> None:
    one = ToyConfig.model_validate({name: OTHER[name] for name in first})
    two = ToyConfig.model_validate({name: OTHER[name] for name in second})
    assert (identity_of("fmri", one, {}) == identity_of("fmri", two, {})) == (one == two)


def test_kind_seed_and_inputs_count() -> None:
    config = ToyConfig()
    others = [
        identity_of("stimuli", config, {"numbers": SOURCE}),
        identity_of("fmri", config, {"numbers": SOURCE}, seed=0),
        identity_of("fmri", config, {"numbers": SOURCE}, seed=1),
        identity_of("fmri", config, {"numbers": Source("numbers", "b")}),
        identity_of("fmri", config, {"figures": SOURCE}),
        identity_of("fmri", config, {}),
    ]
    assert len({IDENTITY, *others}) == len(others) + 1


def test_identity_is_stable_across_versions() -> None:
    # A change here makes every artifact that users have look different: raise SCHEMA_VERSION if meant.
    assert IDENTITY == "0d22ca7e0f24e48300cadfd47610f73bc51b6942b3086659421171c536178dd3"


class TestFingerprint:
    def files(self, folder: Path) -> list[Path]:
        (folder / "sub").mkdir(parents=True)
        paths = [folder / "small.txt", folder / "sub" / "large.bin"]
        paths[0].write_bytes(b"small")
        paths[1].write_bytes(bytes(range(256)) * 2000)
        return paths

    def test_same_content_in_another_place_is_the_same(self, tmp_path: Path) -> None:
        one, two = self.files(tmp_path / "one"), self.files(tmp_path / "two")
        assert fingerprint(one, tmp_path / "one") == fingerprint(two[::-1], tmp_path / "two")

    @pytest.mark.parametrize(("index", "offset"), [(0, 2), (1, 0), (1, 256_000), (1, 511_999)])
    def test_changed_bytes_are_seen(self, tmp_path: Path, index: int, offset: int) -> None:
        paths = self.files(tmp_path / "one")
        before = fingerprint(paths, tmp_path / "one")
        with paths[index].open("r+b") as file:
            file.seek(offset)
            file.write(b"?")
        assert fingerprint(paths, tmp_path / "one") != before

    def test_names_and_sizes_are_seen(self, tmp_path: Path) -> None:
        paths = self.files(tmp_path / "one")
        before = fingerprint(paths, tmp_path / "one")
        with paths[1].open("ab") as file:
            file.write(b"\0")
        longer = fingerprint(paths, tmp_path / "one")
        renamed = paths[0].rename(tmp_path / "one" / "other.txt")
        assert len({before, longer, fingerprint([renamed, paths[1]], tmp_path / "one")}) == 3

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"gone\.nii is missing"):
            fingerprint([tmp_path / "gone.nii"], tmp_path)

    def test_a_source_tells_which_files_have_changed(self, tmp_path: Path) -> None:
        paths = self.files(tmp_path / "one")
        source = Source.of_files("runs", paths, tmp_path / "one", subject=1)
        assert changed_files(source.detail, source.identity) == []
        os.utime(paths[0], (1, 1))
        assert changed_files(source.detail, source.identity) == [], "touched, but with the same content"
        paths[0].write_bytes(b"Small")
        assert changed_files(source.detail, source.identity) == ["small.txt"]
        paths[1].unlink()
        assert changed_files(source.detail, source.identity) == ["sub/large.bin"]

    def test_a_source_whose_folder_is_away_is_not_called_changed(self, tmp_path: Path) -> None:
        paths = self.files(tmp_path / "one")
        source = Source.of_files("runs", paths, tmp_path / "one")
        (tmp_path / "one").rename(tmp_path / "two")
        assert changed_files(source.detail, source.identity) == []
