"""LPIPS against the package's own value, with a random trunk and the package's linear layers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mindanim.errors import ConfigError, InputError
from mindanim.metrics.families.lpips import lpips_distance
from mindanim.metrics.families.metric import NETWORKS, Loading
from mindanim.stages.evaluate import evaluate
from mindanim.vocabulary.arrays import to_tensor
from tests.metrics.films import noise, panned, texture
from tests.stages.evaluation_inputs import make_inputs, make_videos, run_options, truth
from tests.stages.test_evaluate import quick, scores_of

lpips = pytest.importorskip("lpips")


@pytest.fixture(scope="module")
def trunk(tmp_path_factory):
    """The package's network with a random trunk, and the trunk as torchvision would write it."""
    torch.manual_seed(0)
    with pytest.warns(UserWarning, match="pretrained"):
        model = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    file = tmp_path_factory.mktemp("lpips") / "alexnet.pth"
    state = {f"features.{name.partition('.')[2]}": value for name, value in model.net.state_dict().items()}
    torch.save(state | {"classifier.6.bias": torch.zeros(1000)}, file)
    return model, file


@pytest.mark.parametrize("size", [31, 64])
def test_it_is_the_package_s_own_value(trunk, size):
    model, file = trunk
    network = NETWORKS["lpips"].load(file, Loading("cpu", None, True, 3))
    film = panned(texture(np.random.default_rng(0), size), (2, 1), 3, size)
    for other in (film[::-1].copy(), noise(np.random.default_rng(1), *film.shape)):
        with torch.inference_mode():
            expected = model(to_tensor(film), to_tensor(other), normalize=True).mean()
        described = [lpips_distance.describe(clip, network) for clip in (film, other)]
        assert lpips_distance.score(*described) == pytest.approx(float(expected), rel=1e-4)
    assert lpips_distance.score(described[0], described[0]) == 0


def test_it_is_reported_with_floors_and_refused_without_weights(trunk, tmp_path):
    run = run_options(tmp_path / "work")
    make_videos(run, make_inputs(run), truth)
    options = {"groups": ("pixel",), "metrics": ("lpips.alex", "psnr.db"), "motion_test": False}
    found = evaluate(quick(**options, weights={"lpips": trunk[1]}), run)
    scores = scores_of(found)
    assert set(scores) == {"lpips.alex", "psnr.db"}
    entry = scores["lpips.alex"]
    assert (
        entry["value"] == 0 < entry["floors"]["shuffled"]["difference"]
        and entry["backbone"]["name"] == "alexnet.pth"
    )
    assert entry["floors"]["gray"]["value"] > 0 and set(entry["floors"]) == set(scores["psnr.db"]["floors"])
    without = evaluate(quick(**options), run.model_copy(update={"label": "without", "use": {"videos": ""}}))
    assert without.json("metrics.json")["refused"] == [
        {"id": "lpips.alex", "reason": "no weights of AlexNet were given; --set weights=lpips=FILE"}
    ]


def test_other_weights_are_refused(tmp_path):
    file = tmp_path / "other.pth"
    torch.save({"features.0.weight": torch.zeros(2)}, file)
    with pytest.raises(InputError, match=r"other\.pth has no weights of AlexNet(.|\n)*features"):
        NETWORKS["lpips"].load(file, Loading("cpu", None, True, 3))


def test_weights_of_an_unknown_network_are_an_error(tmp_path):
    run = run_options(tmp_path / "work")
    make_videos(run, make_inputs(run), truth)
    with pytest.raises(ConfigError, match=r"unknown network 'lpip': did you mean 'lpips'\?"):
        evaluate(quick(groups=("pixel",), weights={"lpip": tmp_path}), run)
