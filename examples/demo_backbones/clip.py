"""CLIP of the simulated world: frames and captions in one space, in open_clip's own format.

The image tower has the architecture of the image classifier and is initialised from it; the text tower is
small because the vocabulary is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from open_clip.model import CLIP
from safetensors.torch import save_file
from torch.nn import functional
from transformers import ViTForImageClassification

from examples.demo_backbones.classifiers import PIXEL_MEAN, PIXEL_STD, pixels
from examples.demo_backbones.data import FRAMES, PATCH, SIZE, Pool
from examples.demo_backbones.loop import Record, Schedule, fit
from examples.demo_backbones.tokenizer import TOKENS, build_tokenizer, tokens

WIDTH = 128
BATCH = 128


def config(start: ViTForImageClassification) -> dict[str, Any]:
    """The model part of ``open_clip_config.json`` for an image tower with the shape of `start`."""
    vit = start.config
    return {
        "embed_dim": WIDTH,
        "vision_cfg": {
            "image_size": SIZE,
            "patch_size": PATCH,
            "layers": vit.num_hidden_layers,
            "width": vit.hidden_size,
            "head_width": vit.hidden_size // vit.num_attention_heads,
            "mlp_ratio": vit.intermediate_size / vit.hidden_size,
            "no_ln_pre": True,
        },
        "text_cfg": {
            "context_length": TOKENS,
            "vocab_size": len(build_tokenizer()),
            "width": WIDTH,
            "heads": 4,
            "layers": 2,
            "mlp_ratio": 2.0,
            "hf_tokenizer_name": "tokenizer.json",
        },
    }


def train_clip(
    pool: Pool,
    start: ViTForImageClassification,
    steps: int = 400,
    *,
    seed: int = 0,
    device: str = "cpu",
    checkpoint: Path | None = None,
    **options: Any,
) -> tuple[CLIP, Record]:
    """Match frames, taken anywhere in a clip, with their captions."""
    torch.manual_seed(seed)
    network = build(start).to(device)
    distinct, number = np.unique(pool.captions, return_inverse=True)
    coded = tokens(list(distinct))

    def loss(rng: np.random.Generator) -> torch.Tensor:
        clip, frame = rng.integers(len(pool.frames), size=BATCH), rng.integers(FRAMES, size=BATCH)
        caption = torch.from_numpy(number[clip])
        with torch.autocast(device, torch.bfloat16):
            image = network.encode_image(pixels(pool.frames[clip, frame]).to(device))
            text = network.encode_text(coded[caption].to(device))
        image, text = functional.normalize(image.float(), dim=-1), functional.normalize(text.float(), dim=-1)
        logits = network.logit_scale.exp().clamp(max=100) * image @ text.T
        # Frames with the same caption are no negatives of each other: they share the target.
        same = (caption[:, None] == caption[None, :]).to(device, logits.dtype)
        same = same / same.sum(1, keepdim=True)
        return (functional.cross_entropy(logits, same) + functional.cross_entropy(logits.T, same)) / 2

    return fit(network, loss, Schedule(steps, 8e-4), seed=seed, checkpoint=checkpoint, **options)


def build(start: ViTForImageClassification) -> CLIP:
    """An open_clip model with `start` as its image tower and a new text tower."""
    model = config(start)
    network = CLIP(model["embed_dim"], model["vision_cfg"], model["text_cfg"])
    source = {name.removeprefix("vit."): value for name, value in start.state_dict().items()}
    position = source["embeddings.position_embeddings"][0].clone()
    # open_clip's patch filter has no bias.
    position[1:] += source["embeddings.patch_embeddings.projection.bias"]
    target = {
        "class_embedding": source["embeddings.cls_token"][0, 0],
        "positional_embedding": position,
        "conv1.weight": source["embeddings.patch_embeddings.projection.weight"],
        "ln_post.weight": source["layernorm.weight"],
        "ln_post.bias": source["layernorm.bias"],
        "proj": network.visual.state_dict()["proj"],
    }
    modules = {
        "ln_1": "layernorm_before",
        "ln_2": "layernorm_after",
        "attn.out_proj": "attention.o_proj",
        "mlp.c_fc": "mlp.fc1",
        "mlp.c_proj": "mlp.fc2",
    }
    for layer in range(start.config.num_hidden_layers):
        here, there = f"transformer.resblocks.{layer}", f"layers.{layer}"
        for end in ("weight", "bias"):
            for ours, theirs in modules.items():
                target[f"{here}.{ours}.{end}"] = source[f"{there}.{theirs}.{end}"]
            parts = [source[f"{there}.attention.{part}_proj.{end}"] for part in "qkv"]
            target[f"{here}.attn.in_proj_{end}"] = torch.cat(parts)
    network.visual.load_state_dict(target)
    return network


def export_clip(network: CLIP, start: ViTForImageClassification, folder: Path) -> None:
    """Write config, fp16 weights and tokenizer for `open_clip.create_model("local-dir:FOLDER")`."""
    folder.mkdir(parents=True, exist_ok=True)
    preprocess = {"mean": PIXEL_MEAN, "std": PIXEL_STD, "interpolation": "bicubic", "resize_mode": "shortest"}
    whole = {"model_cfg": config(start), "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    weights = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    build_tokenizer().save_pretrained(folder)
