"""The files of each kind of backbone, and sizes and licences of well-known ones.

`NEEDED` has one entry per file, with its possible names, the preferred one first. `OPTIONAL` files are used
if they exist; they change the result, so they are part of a backbone's identity. `FETCH` has the patterns of
what to download: the preferred files without their duplicates in other formats.
"""

from __future__ import annotations

from typing import Literal

Kind = Literal["diffusion", "clip", "captioner", "image_classifier", "video_classifier"]

# In one file, or in the shards that an index lists; full precision is preferred, then safetensors.
_SAFE = ("safetensors", "safetensors.index.json", "fp16.safetensors", "safetensors.index.fp16.json")
_PICKLED = ("bin", "bin.index.json", "fp16.bin", "bin.index.fp16.json")
_UNET = tuple(f"unet/diffusion_pytorch_model.{end}" for end in _SAFE + _PICKLED)
_VAE = tuple(f"vae/diffusion_pytorch_model.{end}" for end in _SAFE + _PICKLED)
_TRANSFORMERS = (*(f"model.{end}" for end in _SAFE), *(f"pytorch_model.{end}" for end in _PICKLED))
_TEXT = tuple(f"text_encoder/{name}" for name in _TRANSFORMERS)

CLIP_WEIGHTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
)

NEEDED: dict[Kind, tuple[tuple[str, ...], ...]] = {
    "diffusion": (
        ("scheduler/scheduler_config.json",),
        ("text_encoder/config.json",),
        _TEXT,
        ("tokenizer/tokenizer_config.json",),
        ("tokenizer/vocab.json", "tokenizer/tokenizer.json"),
        ("unet/config.json",),
        _UNET,
        ("vae/config.json",),
        _VAE,
    ),
    "clip": (("open_clip_config.json",), CLIP_WEIGHTS),
    "captioner": (
        ("config.json",),
        _TRANSFORMERS,
        ("preprocessor_config.json", "processor_config.json"),
        ("tokenizer.json",),
        ("tokenizer_config.json",),
    ),
    "image_classifier": (
        ("config.json",),
        _TRANSFORMERS,
        ("preprocessor_config.json", "processor_config.json"),
    ),
    "video_classifier": (
        ("config.json",),
        _TRANSFORMERS,
        ("preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json"),
    ),
}
TRANSFORMERS_CLIP = (
    ("config.json",),
    _TRANSFORMERS,
    ("preprocessor_config.json", "processor_config.json"),
    ("tokenizer_config.json",),
    ("tokenizer.json", "vocab.json", "spiece.model"),
)
"""A CLIP or SigLIP model in the layout of transformers, which a folder has instead of `NEEDED`."""
OPTIONAL: dict[Kind, tuple[str, ...]] = {
    "diffusion": ("tokenizer/merges.txt", "tokenizer/special_tokens_map.json", "tokenizer/tokenizer.json"),
    "clip": (
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "vocab.json",
        "merges.txt",
        "vocab.txt",
        "spiece.model",
    ),
    "captioner": ("generation_config.json", "processor_config.json", "special_tokens_map.json"),
    "image_classifier": (),
    "video_classifier": (),
}
FETCH: dict[Kind, tuple[str, ...]] = {
    "diffusion": ("*/*.json", "tokenizer/*", _UNET[0], _VAE[0], _TEXT[0]),
    "clip": ("*.json", "*.txt", CLIP_WEIGHTS[0]),
    "captioner": ("*.json", "model*.safetensors"),
    "image_classifier": ("*.json", "model*.safetensors"),
    "video_classifier": ("*.json", "model*.safetensors"),
}
FETCH_TRANSFORMERS_CLIP = ("*.json", "*.txt", "*.model", "model.safetensors", "pytorch_model.bin")
FETCH_TOKENIZER = ("*token*", "*.model", "vocab.*", "merges.txt", "config.json")
LICENCES = {
    "demo": "MIT",
    "stable-diffusion-v1-5/stable-diffusion-v1-5": "CreativeML Open RAIL-M",
    "google/vit-base-patch16-224": "Apache-2.0",
    "MCG-NJU/videomae-base-finetuned-kinetics": "CC-BY-NC-4.0",
    "Salesforce/blip2-flan-t5-xxl": "MIT",
    "timm/vit_base_patch32_clip_224.openai": "MIT",
    "timm/vit_base_patch16_clip_224.openai": "MIT",
}

# Bytes of the files of the recipes' models, as listed by the hub: stable-diffusion-v1-5 as published at
# runwayml/, of which this is a copy; the CLIP at commit a6f597a3; the image classifier at 3f49326e. Files in
# neither table contain settings and vocabularies, of a few kB to a few MB.
FILE_BYTES = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": {
        "unet/diffusion_pytorch_model.safetensors": 3_438_167_540,
        "vae/diffusion_pytorch_model.safetensors": 334_643_276,
        "text_encoder/model.safetensors": 492_265_874,
        "tokenizer/vocab.json": 1_059_962,
    },
    "timm/vit_base_patch32_clip_224.openai": {"open_clip_model.safetensors": 605_143_284},
    "google/vit-base-patch16-224": {"model.safetensors": 346_293_852},
}
# Not looked up but computed from the architecture: parameters times four bytes (float32). The header with the
# tensors' names adds less than a thousandth.
ABOUT_BYTES = {
    # 86,534,800 parameters (transformers' VideoMAEForVideoClassification, 400 classes).
    "MCG-NJU/videomae-base-finetuned-kinetics": {"model.safetensors": 346_139_200},
    # 12,229,596,672 parameters: 986.0 M in the vision model, 105.1 M in the Q-Former, 3.1 M in between,
    # 11,135 M in Flan-T5-XXL with its output layer. The file is sharded.
    "Salesforce/blip2-flan-t5-xxl": {"model.safetensors": 48_918_386_688},
}


def file_size(repository: str, file: str) -> tuple[int, bool] | None:
    """Size of a hub model's file in bytes, and whether it is exact; None if unknown."""
    if size := FILE_BYTES.get(repository, {}).get(file):
        return size, True
    size = ABOUT_BYTES.get(repository, {}).get(file)
    return None if size is None else (size, False)
