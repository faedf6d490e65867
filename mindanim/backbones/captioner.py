"""BLIP-2, which describes images (Li et al. 2023, doi:10.48550/arXiv.2301.12597)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from mindanim.backbones.pretrained import READING_FAILED, load_configuration, load_network, unreadable
from mindanim.backbones.processors import pictures
from mindanim.errors import InputError

if TYPE_CHECKING:
    from mindanim.backbones.weights.find import Weights

PROMPT = "Question: What does this image describe? Answer:"
LONGEST = 30


class Blip2Captioner:
    """A `Captioner`: greedy answers of at most 30 new tokens to the method's question.

    Raises:
        InputError: The folder holds another network, or its processor does not show the pictures to it.
    """

    def __init__(
        self, weights: Weights, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        from transformers import Blip2ForConditionalGeneration, Blip2Processor

        config = load_configuration(weights)
        if config.model_type != "blip-2":
            raise InputError(
                f"{weights.name} is not a BLIP-2.",
                why=f"{weights.path / 'config.json'} has the model_type {config.model_type}.",
                hint="Name a BLIP-2 model, such as Salesforce/blip2-flan-t5-xxl, or give --captions",
            )
        try:
            self.processor: Any = Blip2Processor.from_pretrained(weights.path, local_files_only=True)
        except READING_FAILED as error:
            raise unreadable(weights, weights.path, "processor", error) from error
        _check_image_tokens(weights, config, self.processor)
        self.weights = weights
        self.device = torch.device(device)
        self.dtype = dtype or torch.float32
        self.model = load_network(Blip2ForConditionalGeneration, weights, self.device, self.dtype)

    @torch.inference_mode()
    def caption(self, images: torch.Tensor) -> list[str]:
        """(image, channel, height, width) in [0, 1], any size -> one sentence per image."""
        prompts = [PROMPT] * len(images)
        inputs = self.processor(images=pictures(images), text=prompts, padding=True, return_tensors="pt")
        inputs = inputs.to(self.device, self.dtype)
        answers = self.model.generate(**inputs, max_new_tokens=LONGEST, do_sample=False, num_beams=1)
        if not self.model.language_model.config.is_encoder_decoder:
            answers = answers[:, inputs["input_ids"].shape[1] :]  # such as OPT repeats the question
        return [text.strip() for text in self.processor.batch_decode(answers, skip_special_tokens=True)]


def _check_image_tokens(weights: Weights, config: Any, processor: Any) -> None:
    """Refuse a processor that leaves no place for the picture: every picture would have the same caption."""
    token = processor.tokenizer.convert_tokens_to_ids(str(processor.image_token))
    wanted = (config.num_query_tokens, config.image_token_index)
    if (processor.num_query_tokens, token) != wanted:
        raise InputError(
            f"The processor of {weights.name} does not show pictures to its network.",
            why=f"It gives {processor.num_query_tokens} tokens {token} for each; the network replaces "
            f"{wanted[0]} tokens {wanted[1]} by the picture.",
            hint="Fetch the model again: older copies lack num_query_tokens and image_token_index.",
        )
