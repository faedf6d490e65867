"""Which files each kind of backbone consists of, and the licences of well-known ones.

`NEEDED` holds one entry per file, with the names it may have, the preferred one first. `OPTIONAL` files are
used where they are there; they change the result, so they are part of a backbone's identity. `FETCH` holds
the patterns of what to download: the preferred files and not their duplicates in other formats.
"""

from __future__ import annotations

from typing import Literal

Kind = Literal["diffusion", "clip", "captioner", "image_classifier", "video_classifier"]

_UNET = tuple(f"unet/diffusion_pytorch_model.{end}" for end in ("safetensors", "fp16.safetensors", "bin"))
_VAE = tuple(f"vae/diffusion_pytorch_model.{end}" for end in ("safetensors", "fp16.safetensors", "bin"))
_TEXT = tuple(
    f"text_encoder/{name}" for name in ("model.safetensors", "model.fp16.safetensors", "pytorch_model.bin")
)
_TRANSFORMERS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)

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
    "image_classifier": (("config.json",), _TRANSFORMERS, ("preprocessor_config.json",)),
    "video_classifier": (("config.json",), _TRANSFORMERS, ("preprocessor_config.json",)),
}
OPTIONAL: dict[Kind, tuple[str, ...]] = {
    "diffusion": ("tokenizer/merges.txt", "tokenizer/special_tokens_map.json", "tokenizer/tokenizer.json"),
    "clip": (
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "vocab.json",
        "merges.txt",
        "vocab.txt",
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
LICENCES = {
    "demo": "MIT",
    "stable-diffusion-v1-5/stable-diffusion-v1-5": "CreativeML Open RAIL-M",
    "google/vit-base-patch16-224": "Apache-2.0",
    "MCG-NJU/videomae-base-finetuned-kinetics": "CC-BY-NC-4.0",
    "Salesforce/blip2-flan-t5-xxl": "MIT",
    "timm/vit_base_patch32_clip_224.openai": "MIT",
    "timm/vit_base_patch16_clip_224.openai": "MIT",
}
# What a download takes, about, in GB: numbers of parameters times four bytes, in which the files hold them.
DOWNLOAD_GB = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": 4.3,
    "google/vit-base-patch16-224": 0.35,
    "MCG-NJU/videomae-base-finetuned-kinetics": 0.35,
    "Salesforce/blip2-flan-t5-xxl": 49.0,
    "timm/vit_base_patch32_clip_224.openai": 0.6,
    "timm/vit_base_patch16_clip_224.openai": 0.6,
}
