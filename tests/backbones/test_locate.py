"""Names, identities and what is said about missing files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mindanim.artifacts import checksums as hashing
from mindanim.backbones import Kind, locate
from mindanim.backbones.weights.catalogue import FETCH, NEEDED
from mindanim.config.recipes import load_recipe
from mindanim.errors import ConfigError, InputError, MissingError


def fill_cache(root: Path, repository: str, files: dict[str, str]) -> None:
    """A hub cache as huggingface_hub lays it out."""
    folder = root / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc")
    for name, text in files.items():
        path = folder / "snapshots" / "abc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import huggingface_hub.constants
    import huggingface_hub.file_download

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_identity_follows_content_not_place(image_classifier_folder: Path, tmp_path: Path) -> None:
    here = locate(str(image_classifier_folder), "image_classifier")
    moved = tmp_path / "elsewhere"
    shutil.copytree(image_classifier_folder, moved)
    assert locate(str(moved), "image_classifier").identity == here.identity
    (moved / "notes.txt").write_text("not part of the model")
    assert locate(str(moved), "image_classifier").identity == here.identity
    config = json.loads((moved / "preprocessor_config.json").read_text())
    (moved / "preprocessor_config.json").write_text(json.dumps(config | {"image_mean": [0.4, 0.5, 0.5]}))
    assert locate(str(moved), "image_classifier").identity != here.identity


def test_weights_say_what_they_are(diffusion_folder: Path) -> None:
    (diffusion_folder / "README.md").write_text("---\nlicense: mit\ntags: [x]\n---\n# A model\n")
    found = locate(str(diffusion_folder), "diffusion")
    assert found.licence == "mit"
    assert found.size_bytes == sum((diffusion_folder / name).stat().st_size for name in found.files)
    assert found.source.identity == found.identity and found.source.name == str(diffusion_folder)
    assert "model_index.json" not in found.files
    assert {"unet/config.json", "tokenizer/tokenizer.json"} <= set(found.files)


def test_checksums_are_remembered_until_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    compute = hashing.sha256_of
    monkeypatch.setattr(hashing, "sha256_of", lambda path: calls.append(path) or compute(path))
    file = tmp_path / "weights.bin"
    file.write_bytes(b"one")
    first = hashing.file_sha256(file)
    hashing._remembered.cache_clear()  # what a new process knows
    assert hashing.file_sha256(file) == first and len(calls) == 1
    file.write_bytes(b"other")
    assert hashing.file_sha256(file) != first and len(calls) == 2


def test_missing_files_of_a_folder_are_listed(diffusion_folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(diffusion_folder, broken)
    (broken / "vae" / "config.json").unlink()
    (broken / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(
        MissingError, match=r"unet/diffusion_pytorch_model.safetensors; vae/config.json"
    ) as caught:
        locate(str(broken), "diffusion")
    assert caught.value.exit_code == 5 and str(broken) in caught.value.why


def test_absent_hub_model_names_every_file_and_the_command(hub: Path) -> None:
    name = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    with pytest.raises(MissingError) as caught:
        locate(name, "diffusion")
    for names in NEEDED["diffusion"]:
        assert names[0] in caught.value.why
    assert f"hf download {name} " in caught.value.hint
    for text in (
        "unet/diffusion_pytorch_model.safetensors (3.44 GB); ",
        "text_encoder/model.safetensors (492 MB); ",
        "vae/diffusion_pytorch_model.safetensors (335 MB); ",
        "tokenizer/vocab.json (1.06 MB); ",
        "Together 4.27 GB and a few small files; licence: CreativeML Open RAIL-M. ",
    ):
        assert text in caught.value.why, text
    assert all(f"--include '{pattern}'" in caught.value.hint for pattern in FETCH["diffusion"])


def test_hub_cache_is_found_offline(hub: Path) -> None:
    files = {"config.json": "{}", "model.safetensors": "w", "preprocessor_config.json": "{}"}
    fill_cache(hub, "google/vit-base-patch16-224", files)
    found = locate("google/vit-base-patch16-224", "image_classifier", offline=True)
    assert found.files == tuple(sorted(files)) and found.licence == "Apache-2.0"
    assert (found.path / "config.json").is_file()


@pytest.mark.parametrize("recipe", ["paper", "improved"])
def test_sizes_of_all_weights_of_the_recipes_are_known(recipe: str, hub: Path) -> None:
    for kind, name in load_recipe(recipe).tables["backbones"].items():
        with pytest.raises(MissingError) as caught:
            locate(name, kind)
        assert "size not known" not in caught.value.why and "Together " in caught.value.why, name
    with pytest.raises(MissingError, match=r"model.safetensors \(size not known\); preprocessor"):
        locate("nobody/knows-it", "image_classifier")


def test_sharded_weights_need_every_shard(hub: Path) -> None:
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    files = {
        "config.json": "{}",
        "model.safetensors.index.json": json.dumps({"weight_map": shards}),
        "preprocessor_config.json": "{}",
        "tokenizer.json": "{}",
        "tokenizer_config.json": "{}",
        shards["a"]: "w",
    }
    fill_cache(hub, "Salesforce/blip2-flan-t5-xxl", files)
    with pytest.raises(MissingError, match=r"Missing: model-00002-of-00002.safetensors "):
        locate("Salesforce/blip2-flan-t5-xxl", "captioner")


def test_open_clip_tag_lies_in_its_hub_repository(hub: Path) -> None:
    fill_cache(hub, "timm/vit_base_patch32_clip_224.openai", {"open_clip_model.safetensors": "w"})
    found = locate("ViT-B-32-quickgelu/openai", "clip")
    assert found.architecture == ("ViT-B-32-quickgelu", "openai")
    assert found.files == ("open_clip_model.safetensors",) and found.licence == "MIT"
    # The same weights in another architecture (plain GELU) are another model.
    assert locate("ViT-B-32/openai", "clip").identity != found.identity


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        ("", ConfigError, "No clip backbone"),
        ("ViT-B-32-quickgelu/nobody", ConfigError, "openai"),
        ("ViT-Z@weights.pt", ConfigError, "ViT-Z"),
        ("ViT-B/31", ConfigError, "Did you mean ViT-B-32"),
        ("RN50", ConfigError, "RN50/openai"),
        ("weights.pt", MissingError, "weights.pt, the weights"),
        ("local-dir:nowhere", MissingError, "no folder nowhere"),
        ("ViT-B-32@/nowhere/weights.pt", MissingError, "/nowhere/weights.pt"),
        ("not a name", ConfigError, "neither"),
        ("/nowhere/model", MissingError, "There is no folder /nowhere/model"),
    ],
)
def test_names_that_lead_nowhere(name: str, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        locate(name, "clip")


KINDS = ("diffusion", "clip", "image_classifier", "video_classifier", "captioner")


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_of_a_hub_cache_is_its_current_version(kind: Kind, tmp_path: Path) -> None:
    """What ``hf download`` leaves in ``~/.cache/huggingface/hub``, copied and named as a folder."""
    files = {names[0]: "{}" for names in NEEDED[kind]}
    fill_cache(tmp_path, "google/vit-base-patch16-224", files)
    folder = tmp_path / "models--google--vit-base-patch16-224"
    (folder / "snapshots" / "older").mkdir()
    found = locate(str(folder), kind)
    assert found.path == folder / "snapshots" / "abc" and set(found.files) == set(files)
    assert found.licence == "Apache-2.0"
    assert found.identity == locate(str(folder / "snapshots" / "abc"), kind).identity
    (folder / "refs" / "main").unlink()
    with pytest.raises(InputError, match="holds 2 versions of google/vit-base-patch16-224"):
        locate(str(folder), kind)
    (folder / "snapshots" / "older").rmdir()
    assert locate(str(folder), kind).identity == found.identity


def test_a_version_named_outside_the_cache_is_not_followed(tmp_path: Path) -> None:
    fill_cache(tmp_path, "a/b", {names[0]: "{}" for names in NEEDED["clip"]})
    folder = tmp_path / "models--a--b"
    (folder / "refs" / "main").write_text("../../..")
    assert locate(str(folder), "clip").path == folder / "snapshots" / "abc"


@pytest.mark.parametrize(
    "name", ["local-dir:{}", "{}/", "hf-hub:owner/model", "https://huggingface.co/owner/model/"]
)
def test_ways_of_writing_the_same_model(name: str, hub: Path) -> None:
    files = {names[0]: "{}" for names in NEEDED["image_classifier"]}
    fill_cache(hub, "owner/model", files)
    folder = hub / "models--owner--model" / "snapshots" / "abc"
    expected = locate(str(folder), "image_classifier").identity
    assert locate(name.format(folder), "image_classifier").identity == expected


@pytest.mark.parametrize(
    "name", ["ViT-B/32", "ViT-B-32:openai", "vit-b-32/OpenAI", "ViT-B/32/openai", "ViT-B-32/openai"]
)
def test_ways_of_writing_openais_model(name: str, hub: Path) -> None:
    with pytest.raises(MissingError) as caught:
        locate(name, "clip")
    hint = caught.value.hint
    assert "hf download timm/vit_base_patch32_clip_224.openai --include 'open_clip_model.safetensors'" in hint
    assert hint.endswith("ViT-B-32/openai@FOLDER/open_clip_model.safetensors")
    fill_cache(hub, "timm/vit_base_patch32_clip_224.openai", {"open_clip_model.safetensors": "w"})
    found = locate(name, "clip")
    assert found.architecture == ("ViT-B-32", "openai")
    by_file = f"ViT-B-32/openai@{found.path / 'open_clip_model.safetensors'}"
    assert locate(by_file, "clip").identity == found.identity


def test_a_hub_model_of_transformers_is_missing_its_own_files(hub: Path) -> None:
    with pytest.raises(MissingError) as caught:
        locate("openai/clip-vit-base-patch32", "clip")
    assert "open_clip" not in str(caught.value) and "'pytorch_model.bin'" in caught.value.hint
    names = (
        "config.json",
        "pytorch_model.bin",
        "preprocessor_config.json",
        "tokenizer_config.json",
        "vocab.json",
    )
    fill_cache(hub, "openai/clip-vit-base-patch32", dict.fromkeys([*names, "vocab.json"], "{}"))
    assert not locate("openai/clip-vit-base-patch32", "clip").of_open_clip


def test_one_file_is_no_classifier(image_classifier_folder: Path) -> None:
    with pytest.raises(InputError, match=rf"perhaps {image_classifier_folder}"):
        locate(str(image_classifier_folder / "model.safetensors"), "image_classifier")


def test_unknown_kind() -> None:
    with pytest.raises(ConfigError, match="image_classifier"):
        locate("demo", "classifier")  # type: ignore[arg-type]


def test_a_checkpoint_in_one_file_is_told_from_a_folder(tmp_path: Path) -> None:
    file = tmp_path / "v1-5-pruned.safetensors"
    file.write_bytes(b"weights")
    with pytest.raises(InputError, match=r"v1-5-pruned.safetensors is a file") as caught:
        locate(str(file), "diffusion")
    assert "from_single_file" in caught.value.hint
