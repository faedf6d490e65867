"""BLIP-2, which describes images (Li et al. 2023, doi:10.48550/arXiv.2301.12597)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from mindanim.backbones.pretrained import load_network

if TYPE_CHECKING:
    from mindanim.backbones.weights.find import Weights

PROMPT = "Question: What does this image describe? Answer:"
LONGEST = 30


class Blip2Captioner:
    """A `Captioner`: greedy answers of at most 30 new tokens to the method's question."""

    def __init__(
        self, weights: Weights, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        from transformers import Blip2ForConditionalGeneration, Blip2Processor

        self.weights = weights
        self.device = torch.device(device)
        self.dtype = dtype or torch.float32
        self.model = load_network(Blip2ForConditionalGeneration, weights, self.device, self.dtype)
        self.processor: Any = Blip2Processor.from_pretrained(weights.path, local_files_only=True)

    @torch.inference_mode()
    def caption(self, images: torch.Tensor) -> list[str]:
        """(image, channel, height, width) in [0, 1], any size -> one sentence per image."""
        bytes_ = (images * 255).round().to(torch.uint8).cpu()
        inputs = self.processor(
            images=list(bytes_), text=[PROMPT] * len(bytes_), padding=True, return_tensors="pt"
        )
        inputs = inputs.to(self.device, self.dtype)
        answers = self.model.generate(**inputs, max_new_tokens=LONGEST, do_sample=False)
        return [text.strip() for text in self.processor.batch_decode(answers, skip_special_tokens=True)]
