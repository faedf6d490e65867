"""The diffusion backbone against diffusers' own pipeline."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file, save_file

from mindanim.backbones import load_diffusion
from mindanim.errors import ConfigError, InputError, MissingError
from tests.tiny import tiny_diffusion_folder


@pytest.fixture(scope="module")
def pipeline(diffusion_folder: Path) -> StableDiffusionPipeline:
    pipeline = StableDiffusionPipeline.from_pretrained(diffusion_folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def frames(count: int, size: int = 32) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def test_sizes_come_from_the_configs(tmp_path: Path) -> None:
    folder = tiny_diffusion_folder(
        tmp_path, latent_channels=3, frame_size=48, prediction_type="v_prediction", text_width=24, tokens=12
    )
    backbone = load_diffusion(str(folder))
    assert backbone.frame_size == 48 and backbone.latent_shape == (3, 6, 6)
    assert (backbone.text_width, backbone.max_tokens) == (24, 12)
    assert (
        backbone.scheduler_config["prediction_type"] == "v_prediction" and backbone.scaling_factor == 0.18215
    )
    assert backbone.scheduler_config["steps_offset"] == 1
    assert backbone.encode_frames(frames(1, 48)).shape == (1, 3, 6, 6)


def test_encode_is_the_posterior_mean(diffusion_folder: Path, pipeline: StableDiffusionPipeline) -> None:
    pixels = pipeline.image_processor.preprocess(frames(3))
    with torch.no_grad():
        expected = pipeline.vae.encode(pixels).latent_dist.mean * pipeline.vae.config.scaling_factor
    torch.testing.assert_close(load_diffusion(str(diffusion_folder)).encode_frames(frames(3)), expected)


def test_decode_is_the_pipelines(diffusion_folder: Path, pipeline: StableDiffusionPipeline) -> None:
    latents = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        decoded = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor, return_dict=False)[0]
    expected = pipeline.image_processor.postprocess(decoded, output_type="pt")
    torch.testing.assert_close(load_diffusion(str(diffusion_folder)).decode_latents(latents), expected)


def test_text_is_the_pipelines(diffusion_folder: Path, pipeline: StableDiffusionPipeline) -> None:
    backbone = load_diffusion(str(diffusion_folder))
    texts = ["a large red ball over the sea", "", "words " * 30]
    expected, empty = pipeline.encode_prompt(texts, "cpu", 1, do_classifier_free_guidance=True)
    condition = backbone.encode_text(texts, backbone.max_tokens)
    torch.testing.assert_close(condition, expected)
    torch.testing.assert_close(condition[1], empty[0])


def test_fewer_tokens_cut_the_text_and_keep_its_beginning(diffusion_folder: Path) -> None:
    backbone = load_diffusion(str(diffusion_folder))
    text = ["a large red ball over the sea and a small blue box"]
    long, short = backbone.encode_text(text, 20), backbone.encode_text(text, 8)
    assert short.shape == (1, 8, 16)
    # The encoder is causal: tokens before the cut do not know of it; the last one is EOS instead of a word.
    torch.testing.assert_close(short[:, :7], long[:, :7])
    assert not torch.allclose(short[:, 7], long[:, 7], atol=1e-2)


def test_first_token_is_the_same_for_every_text(diffusion_folder: Path) -> None:
    states = load_diffusion(str(diffusion_folder)).encode_text(["a ball", "the sea and a box", ""], 20)
    assert (states[:, 0] - states[:1, 0]).abs().max() < 1e-6


@pytest.mark.parametrize("tokens", [1, 21, 77])
def test_tokens_beyond_the_model_are_refused(diffusion_folder: Path, tokens: int) -> None:
    with pytest.raises(ConfigError, match=str(tokens)):
        load_diffusion(str(diffusion_folder)).encode_text(["a"], tokens)


def test_batch_size_does_not_matter(diffusion_folder: Path) -> None:
    backbone = load_diffusion(str(diffusion_folder))
    whole = backbone.encode_frames(frames(5))
    single = torch.cat([backbone.encode_frames(frame[None]) for frame in frames(5)])
    torch.testing.assert_close(whole, single, atol=1e-6, rtol=1e-5)


def test_tiles_change_pixels_and_are_taken_back(diffusion_folder: Path) -> None:
    """Tiles against the same blend written out: 64 px in tiles of 32 that overlap by 8."""
    backbone = load_diffusion(str(diffusion_folder))
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    whole, tiled = backbone.decode_latents(latents), backbone.decode_latents(latents, tile=32)
    assert tiled.shape == whole.shape == (2, 3, 64, 64) and (tiled - whole).abs().max() > 1e-3
    corner = backbone.decode_latents(latents[..., :4, :4])
    torch.testing.assert_close(tiled[..., :24, :24], corner[..., :24, :24])
    right = backbone.decode_latents(latents[..., :4, 3:7])
    weight = torch.arange(8) / 8
    blend = (corner[..., :24, 24:] * (1 - weight)) + right[..., :24, :8] * weight
    inside = (blend > 0.01) & (blend < 0.99) & (right[..., :24, :8] > 0) & (right[..., :24, :8] < 1)
    inside &= (corner[..., :24, 24:] > 0) & (corner[..., :24, 24:] < 1)  # blended before they are clamped
    assert inside.float().mean() > 0.5
    torch.testing.assert_close(tiled[..., :24, 24:32][inside], blend[inside], atol=2e-6, rtol=0)
    torch.testing.assert_close(backbone.decode_latents(latents), whole)
    single = torch.cat([backbone.decode_latents(latent[None], tile=32) for latent in latents])
    torch.testing.assert_close(tiled, single, atol=2e-6, rtol=0)
    torch.testing.assert_close(backbone.decode_latents(latents, tile=64), whole)


def test_tiles_that_do_not_divide_are_refused(diffusion_folder: Path) -> None:
    with pytest.raises(ConfigError, match="multiple of 32"):
        load_diffusion(str(diffusion_folder)).check_tile(48)


def test_the_autoencoder_is_given_what_fits(diffusion_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mindanim.backbones import diffusion

    backbone = load_diffusion(str(diffusion_folder))
    most = (1 << 17) // 32**2
    frame = 7 * 8 * 32**2 * 4  # maps of the first width at the frame's size, in float32
    for free, expected in ((1e12, most), (0, 1), (5 * frame / 0.6 + 1, 5)):
        monkeypatch.setattr(diffusion, "free_bytes", lambda device, free=free: int(free))
        assert backbone.frames_at_once == expected


def test_half_precision_computes_in_it_and_returns_float32(diffusion_folder: Path) -> None:
    exact, half = (load_diffusion(str(diffusion_folder), dtype=dtype) for dtype in (None, torch.bfloat16))
    latents = half.encode_frames(frames(2))
    assert next(half.unet.parameters()).dtype == torch.bfloat16 and latents.dtype == torch.float32
    difference = (latents - exact.encode_frames(frames(2))).abs().max()
    assert 0 < difference < 0.05 * latents.abs().max()


def test_every_loader_call_has_a_unet_of_its_own(diffusion_folder: Path) -> None:
    first, second = load_diffusion(str(diffusion_folder)), load_diffusion(str(diffusion_folder))
    assert first.unet is first.unet and first.unet is not second.unet
    assert not first.unet.training and not any(p.requires_grad for p in first.unet.parameters())


def test_frames_must_fit_the_factor(diffusion_folder: Path) -> None:
    with pytest.raises(InputError, match="multiples of 8"):
        load_diffusion(str(diffusion_folder)).encode_frames(frames(1, 30))


def test_incomplete_weights_are_refused(diffusion_folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(diffusion_folder, broken)
    file = broken / "text_encoder" / "model.safetensors"
    state = load_file(file)
    state.pop(next(name for name in state if "token_embedding" in name))
    save_file(state, file, metadata={"format": "pt"})
    with pytest.raises(InputError, match="token_embedding"):
        load_diffusion(str(broken)).encode_text(["a"], 20)


def test_unreadable_weights_are_refused(diffusion_folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(diffusion_folder, broken)
    (broken / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"half a download")
    with pytest.raises(InputError, match="AutoencoderKL"):
        load_diffusion(str(broken)).encode_frames(frames(1))


def test_other_model_families_are_refused(diffusion_folder: Path, tmp_path: Path) -> None:
    inpainting = tmp_path / "inpainting"
    shutil.copytree(diffusion_folder, inpainting)
    config = json.loads((inpainting / "unet" / "config.json").read_text())
    (inpainting / "unet" / "config.json").write_text(json.dumps(config | {"in_channels": 9}))
    with pytest.raises(InputError, match="takes other channels"):
        load_diffusion(str(inpainting))


def test_loads_without_the_preferred_file_names(diffusion_folder: Path, tmp_path: Path) -> None:
    """fp16 variants and .bin weights of older folders."""
    older = tmp_path / "older"
    shutil.copytree(diffusion_folder, older)
    vae = older / "vae" / "diffusion_pytorch_model.safetensors"
    vae.rename(vae.with_name("diffusion_pytorch_model.fp16.safetensors"))
    text = older / "text_encoder" / "model.safetensors"
    torch.save(load_file(text), text.with_name("pytorch_model.bin"))
    text.unlink()
    new, old = load_diffusion(str(diffusion_folder)), load_diffusion(str(older))
    torch.testing.assert_close(old.encode_frames(frames(1)), new.encode_frames(frames(1)))
    torch.testing.assert_close(old.encode_text(["a ball"], 20), new.encode_text(["a ball"], 20))


def test_loads_a_folder_with_nothing_but_fp16_bin_weights(diffusion_folder: Path, tmp_path: Path) -> None:
    """Branches of the hub from before safetensors; what lies beside them in a preferred format is taken."""
    older = tmp_path / "older"
    shutil.copytree(diffusion_folder, older)
    for file in sorted(older.glob("*/*.safetensors")):
        weights = {name: value.half() for name, value in load_file(file).items()}
        stem = {"model": "pytorch_model"}.get(file.stem, file.stem)
        torch.save(weights, file.with_name(f"{stem}.fp16.bin"))
        save_file(weights, file)
    both = load_diffusion(str(older))
    assert not [name for name in both.weights.files if name.endswith(".bin")]
    parts = ("unet", "vae", "text_encoder")
    expected = {part: getattr(both, part).state_dict() for part in parts}
    for file in sorted(older.glob("*/*.safetensors")):
        file.unlink()
    alone = load_diffusion(str(older))
    assert len([name for name in alone.weights.files if name.endswith(".fp16.bin")]) == 3
    for part in parts:
        left, right = expected[part], getattr(alone, part).state_dict()
        assert left.keys() == right.keys()
        assert all(torch.equal(left[name], right[name]) for name in left), part


def sharded(folder: Path, target: Path, variant: str | None = None, safe: bool = True) -> Path:
    """The same model in shards with an index, as `save_pretrained(max_shard_size=...)` writes it."""
    shutil.copytree(folder, target)
    whole = load_diffusion(str(folder))
    for part in ("unet", "vae", "text_encoder"):
        for file in (target / part).glob("*.safetensors"):
            file.unlink()
        options: dict[str, Any] = {} if part == "text_encoder" else {"safe_serialization": safe}
        network = getattr(whole, part)
        network = network.half() if variant == "fp16" else network
        network.save_pretrained(target / part, max_shard_size="20KB", variant=variant, **options)
    return target


@pytest.mark.parametrize(("variant", "safe"), [(None, True), ("fp16", True), (None, False)])
def test_weights_in_shards_are_the_same_model(
    diffusion_folder: Path, tmp_path: Path, variant: str | None, safe: bool
) -> None:
    found = load_diffusion(str(sharded(diffusion_folder, tmp_path / "shards", variant, safe)))
    index = next(name for name in found.weights.files if name.startswith("unet/") and ".index." in name)
    shards = [name for name in found.weights.files if name.startswith("unet/") and "-of-" in name]
    assert len(shards) > 1 and (".fp16." in index) == (variant == "fp16") and ("safetensors" in index) == safe
    whole = load_diffusion(str(diffusion_folder))
    for part in ("unet", "vae", "text_encoder"):
        left, right = getattr(whole, part).state_dict(), getattr(found, part).state_dict()
        assert left.keys() == right.keys()
        for name, value in left.items():
            expected = value.half().float() if variant else value
            assert torch.equal(right[name], expected), f"{part}: {name}"


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("{", "no index of sharded weights"),
        ("[1]", "no index of sharded weights"),
        ('{"weight_map": {}}', "lists no file"),
        ('{"weight_map": {"a": "../../other.safetensors"}}', "not a file of its folder"),
        ('{"weight_map": {"a": "/etc/passwd"}}', "not a file of its folder"),
    ],
)
def test_an_index_that_names_no_shards_is_refused(
    diffusion_folder: Path, tmp_path: Path, index: str, message: str
) -> None:
    folder = Path(shutil.copytree(diffusion_folder, tmp_path / "odd"))
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    file.with_name(f"{file.name}.index.json").write_text(index)
    load_diffusion(str(folder))  # the whole file is preferred
    file.unlink()
    with pytest.raises(InputError, match=message) as caught:
        load_diffusion(str(folder))
    assert "unet/diffusion_pytorch_model.safetensors.index.json" in str(caught.value)


def test_a_missing_shard_is_named(diffusion_folder: Path, tmp_path: Path) -> None:
    folder = sharded(diffusion_folder, tmp_path / "shards")
    lost = sorted(folder.glob("unet/*-of-*.safetensors"))[1]
    lost.unlink()
    with pytest.raises(MissingError, match=f"unet/{lost.name}"):
        load_diffusion(str(folder))


OTHER_MODELS: dict[str, tuple[str, dict[str, Any], str]] = {
    "SDXL": ("unet", {"addition_embed_type": "text_time"}, "more than a text condition"),
    "LCM": ("unet", {"time_cond_proj_dim": 256}, "more than a text condition"),
    "by class": ("unet", {"num_class_embeds": 1000}, "more than a text condition"),
    "video": ("unet", {"_class_name": "UNet3DConditionModel"}, "another class than UNet2DConditionModel"),
    "variances": ("unet", {"out_channels": 8}, "gives other channels"),
    "learned variances": ("scheduler", {"variance_type": "learned_range"}, "predicts variances"),
    "tiny autoencoder": ("vae", {"_class_name": "AutoencoderTiny"}, "another autoencoder"),
    "SD3": ("vae", {"shift_factor": 0.06}, "shifted latents"),
    "normalised latents": ("vae", {"latents_mean": [0.1] * 4}, "shifted latents"),
    "T5": ("text_encoder", {"model_type": "t5"}, "text encoder that is not CLIP's"),
}


@pytest.mark.parametrize(("part", "change", "message"), OTHER_MODELS.values(), ids=OTHER_MODELS)
def test_models_that_need_other_inputs_are_refused(
    diffusion_folder: Path, tmp_path: Path, part: str, change: dict[str, Any], message: str
) -> None:
    folder = Path(shutil.copytree(diffusion_folder, tmp_path / "other"))
    file = folder / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(InputError, match=message):
        load_diffusion(str(folder))


def test_a_tokenizer_without_its_merges_is_refused(diffusion_folder: Path, tmp_path: Path) -> None:
    """Stable Diffusion's own folders have vocab.json and merges.txt in the place of tokenizer.json."""
    folder = tmp_path / "sd"
    shutil.copytree(diffusion_folder, folder)
    whole = json.loads((folder / "tokenizer" / "tokenizer.json").read_text())["model"]
    merges = "\n".join(" ".join(pair) for pair in whole["merges"])
    (folder / "tokenizer" / "tokenizer.json").unlink()
    (folder / "tokenizer" / "vocab.json").write_text(json.dumps(whole["vocab"]))
    (folder / "tokenizer" / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    expected = load_diffusion(str(diffusion_folder)).encode_text(["a large red ball"], 20)
    torch.testing.assert_close(load_diffusion(str(folder)).encode_text(["a large red ball"], 20), expected)
    (folder / "tokenizer" / "merges.txt").unlink()
    with pytest.raises(InputError, match="does not hold a readable tokenizer"):
        load_diffusion(str(folder)).encode_text(["a large red ball"], 20)
