"""What other packages bring: an error that names the package, whatever is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mindanim.decoders.base import DECODERS
from mindanim.errors import MissingError
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
