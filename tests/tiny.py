"""Tiny random models in the formats of the real ones, for every test that needs a backbone.

Each function fills a folder with a seeded, untrained model of some ten thousand parameters, in exactly the
files that the published models come in. The features mean nothing; names and configs are the real ones.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TOKENS = 20
WORDS = (
    "a",
    "large",
    "small",
    "red",
    "blue",
    "ball",
    "box",
    "over",
    "the",
    "sea",
    "and",
    "then",
    "still",
    "fast",
)
BOS, EOS = "<|startoftext|>", "<|endoftext|>"


def tiny_clip_tokenizer(tokens: int) -> Any:
    """A byte-level CLIP tokenizer of some 550 entries: ``WORDS`` are single tokens, other text is bytes."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    characters = sorted(ByteLevel.alphabet())
    vocabulary = characters + [character + "</w>" for character in characters]
    merges = []
    for word in WORDS:
        pieces = [*word[:-1], word[-1] + "</w>"]
        while len(pieces) > 1:
            merge = (pieces[0], pieces[1])
            pieces[:2] = ["".join(merge)]
            if merge not in merges:
                merges.append(merge)
                vocabulary.append(pieces[0])
    vocabulary = [*dict.fromkeys(vocabulary), BOS, EOS]
    return CLIPTokenizer(
        vocab={token: index for index, token in enumerate(vocabulary)},
        merges=merges,
        model_max_length=tokens,
    )


def tiny_diffusion_folder(
    path: Path | str,
    latent_channels: int = 4,
    frame_size: int = 32,
    prediction_type: str = "epsilon",
    *,
    text_width: int = 16,
    tokens: int = TOKENS,
    seed: int = 0,
) -> Path:
    """A diffusers folder (Stable Diffusion layout, factor-8 VAE, 0.25 M parameters); at least 16 px."""
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    tokenizer = tiny_clip_tokenizer(tokens)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vae = AutoencoderKL(
            block_out_channels=(8, 8, 8, 8),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=1,
            latent_channels=latent_channels,
            norm_num_groups=4,
            sample_size=frame_size,
            scaling_factor=0.18215,
        )
        unet = UNet2DConditionModel(
            sample_size=frame_size // 8,
            in_channels=latent_channels,
            out_channels=latent_channels,
            block_out_channels=(16, 32),
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            layers_per_block=1,
            norm_num_groups=8,
            attention_head_dim=2,
            cross_attention_dim=text_width,
        )
        text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=text_width,
                intermediate_size=2 * text_width,
                num_hidden_layers=1,
                num_attention_heads=2,
                max_position_embeddings=tokens,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction_type,
    )
    folder = Path(path)
    parts = {
        "vae": vae,
        "unet": unet,
        "text_encoder": text_encoder,
        "tokenizer": tokenizer,
        "scheduler": scheduler,
    }
    index: dict[str, Any] = {"_class_name": "StableDiffusionPipeline", "requires_safety_checker": False}
    for name, part in parts.items():
        part.save_pretrained(folder / name)
        index[name] = [type(part).__module__.split(".")[0], type(part).__name__]
    index |= dict.fromkeys(("safety_checker", "feature_extractor", "image_encoder"), [None, None])
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))
    return folder


def tiny_clip_folder(
    path: Path | str, *, dim: int = 16, image_size: int = 32, tokens: int = TOKENS, seed: int = 1
) -> Path:
    """An open_clip folder: ``open_clip_config.json``, ``open_clip_model.safetensors``, its own tokenizer."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = tiny_clip_tokenizer(tokens)
    tokenizer.save_pretrained(folder)
    model_cfg = {
        "embed_dim": dim,
        "vision_cfg": {
            "image_size": image_size,
            "layers": 1,
            "width": 32,
            "head_width": 16,
            "patch_size": image_size // 4,
        },
        "text_cfg": {
            "context_length": tokens,
            "vocab_size": len(tokenizer),
            "hf_tokenizer_name": "tokenizer",
            "width": 32,
            "heads": 2,
            "layers": 1,
        },
    }
    preprocess_cfg = {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28], "interpolation": "bicubic"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = open_clip.CLIP(**model_cfg)
    config = {"model_cfg": model_cfg, "preprocess_cfg": preprocess_cfg}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2))
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def _labels(classes: int) -> dict[str, dict[Any, Any]]:
    names = [f"class {index}" for index in range(classes)]
    return {"id2label": dict(enumerate(names)), "label2id": {name: index for index, name in enumerate(names)}}


def tiny_image_classifier_folder(
    path: Path | str, *, classes: int = 60, image_size: int = 32, seed: int = 2
) -> Path:
    """A transformers ViT classifier with its image processor."""
    import torch
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ViTForImageClassification(
            ViTConfig(
                hidden_size=16,
                num_hidden_layers=1,
                num_attention_heads=2,
                intermediate_size=32,
                image_size=image_size,
                patch_size=image_size // 4,
                **_labels(classes),
            )
        )
    model.save_pretrained(path)
    ViTImageProcessor(size={"height": image_size, "width": image_size}).save_pretrained(path)
    return Path(path)


def tiny_video_classifier_folder(
    path: Path | str, *, classes: int = 24, frames: int = 8, image_size: int = 32, seed: int = 3
) -> Path:
    """A transformers VideoMAE classifier with its image processor."""
    import torch
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification, VideoMAEImageProcessor

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = VideoMAEForVideoClassification(
            VideoMAEConfig(
                hidden_size=16,
                num_hidden_layers=1,
                num_attention_heads=2,
                intermediate_size=32,
                image_size=image_size,
                patch_size=image_size // 4,
                num_frames=frames,
                tubelet_size=2,
                **_labels(classes),
            )
        )
    model.save_pretrained(path)
    VideoMAEImageProcessor(
        size={"shortest_edge": image_size}, crop_size={"height": image_size, "width": image_size}
    ).save_pretrained(path)
    return Path(path)


def tiny_captioner_folder(
    path: Path | str, *, image_size: int = 32, seed: int = 9, language: str = "t5"
) -> Path:
    """A transformers BLIP-2 over a small T5 or OPT, with its processor; its captions are word salad."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing
    from transformers import (
        Blip2Config,
        Blip2ForConditionalGeneration,
        Blip2Processor,
        BlipImageProcessor,
        PreTrainedTokenizerFast,
    )

    words = ["<pad>", "</s>", "<unk>", "<image>", "Question", ":", "What", "image", "?", "Answer", *WORDS]
    backend = Tokenizer(WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = Whitespace()
    backend.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, extra_special_tokens=["<image>"], **special)
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_decoder_layers": 1, "num_heads": 2}
    text["initializer_factor"] = 4.0
    if language == "opt":
        text = size | {"ffn_dim": 32, "word_embed_proj_dim": 16, "bos_token_id": 1, "init_std": 0.5}
    text |= {"vocab_size": len(words), "pad_token_id": 0, "eos_token_id": 1}
    text |= {"decoder_start_token_id": 0} if language == "t5" else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Blip2ForConditionalGeneration(
            Blip2Config(
                vision_config={**size, "image_size": image_size, "patch_size": image_size // 4},
                qformer_config={**size, "encoder_hidden_size": 16, "vocab_size": len(words)},
                text_config={"model_type": language, **text},
                num_query_tokens=4,
                image_token_index=3,
            )
        )
        for parameter in model.language_projection.parameters():
            parameter.data.mul_(200)  # so that the caption depends on the image
    model.save_pretrained(path)
    processor = BlipImageProcessor(size={"height": image_size, "width": image_size})
    Blip2Processor(processor, tokenizer, num_query_tokens=4).save_pretrained(path)
    return Path(path)
