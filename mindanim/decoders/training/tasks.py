"""How networks of each kind are trained and validated."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mindanim.config.train import TrainMotionConfig, TrainSemanticConfig, TrainStructureConfig
from mindanim.decoders.batch_sharing import drawn, gathered, own_rows
from mindanim.decoders.models.masks import causal, sparse_causal
from mindanim.decoders.models.motion import MotionNetwork
from mindanim.decoders.models.semantic import SemanticNetwork
from mindanim.decoders.models.structure import StructureNetwork
from mindanim.decoders.training.loop import Task
from mindanim.decoders.training.losses import info_nce, initial_logit_scale, moving_mse
from mindanim.decoders.training.random_inputs import accumulated_zeros, draw_views, zero_entries
from mindanim.decoders.training_examples import BATCH, MotionExamples, SemanticExamples, StructureExamples
from mindanim.runtime import derived_seed


class SemanticTask(Task[SemanticNetwork, SemanticExamples]):
    """MSE to the caption's CLIP vector, the tri-modal contrastive loss, and MSE to the text condition."""

    def __init__(
        self, decoder: SemanticNetwork, examples: SemanticExamples, config: TrainSemanticConfig
    ) -> None:
        super().__init__(decoder, examples)
        self.config, self.text_mean = config, examples.text_mean().to(decoder.device)
        self.logit_scale = initial_logit_scale(config.temperature)

    def fit_scalers(self) -> None:
        data = self.examples
        self.decoder.first_token.copy_(data.first_token)
        if self.config.standardise:
            self.decoder.clip_scaler.fit(lambda columns: data.text[:, 0, columns][data.fit])
            self.decoder.token_scaler.fit(lambda columns: data.tokens[:, columns][data.fit])

    def losses(self, batch: SemanticExamples) -> dict[str, Tensor]:
        return self._losses(
            batch,
            zeroed(self, batch.responses),
            draw_views(batch.text, self.config.augment),
            draw_views(batch.image, self.config.augment),
        )

    def validate(self) -> dict[str, float]:
        data, network = self.examples.held_out(self.decoder.device), self.decoder
        losses = self._losses(data, data.responses, data.text[:, 0], data.image[:, 0])
        vectors, tokens = network.decode(data.responses)
        return {name: float(loss) for name, loss in losses.items()} | data.judge(
            vectors, tokens, self.text_mean
        )

    def _losses(
        self, data: SemanticExamples, responses: Tensor, text: Tensor, image: Tensor
    ) -> dict[str, Tensor]:
        network, config = self.decoder, self.config
        scaled, tokens = network(responses)
        vectors, texts, images, same = (
            gathered(values) for values in (network.clip_scaler.undo(scaled), text, image, data.captions)
        )
        if config.equal_captions == "positives":
            positives = same[:, None] == same
        else:
            positives = torch.eye(len(same), dtype=torch.bool, device=same.device)
        share = config.text_share
        contrasts = [
            info_nce(vectors, other, self.logit_scale, positives, own_rows()) for other in (texts, images)
        ]
        losses = {
            "clip": functional.mse_loss(scaled.float(), network.clip_scaler.apply_to(text)),
            "contrast": share * contrasts[0] + (1 - share) * contrasts[1],
            "tokens": functional.mse_loss(tokens.float(), network.token_scaler.apply_to(data.tokens.float())),
        }
        total = (
            losses["clip"]
            + config.contrastive_weight * losses["contrast"]
            + config.token_weight * losses["tokens"]
        )
        return {"loss": total, **losses}


class StructureTask(Task[StructureNetwork, StructureExamples]):
    """MSE to the latent of the first frame."""

    def __init__(
        self, decoder: StructureNetwork, examples: StructureExamples, config: TrainStructureConfig
    ) -> None:
        super().__init__(decoder, examples)
        self.config = config

    def fit_scalers(self) -> None:
        data = self.examples
        if self.config.standardise:
            self.decoder.scaler.fit(lambda columns: data.latents[:, columns][data.fit])

    def losses(self, batch: StructureExamples) -> dict[str, Tensor]:
        return {"loss": self._loss(batch, zeroed(self, batch.responses))}

    def validate(self) -> dict[str, float]:
        data = self.examples.held_out(self.decoder.device)
        loss = float(self._loss(data, data.responses))
        return {"loss": loss, **data.judge(self.decoder.decode(data.responses))}

    def _loss(self, data: StructureExamples, responses: Tensor) -> Tensor:
        target = self.decoder.scaler.apply_to(data.latents.float())
        return functional.mse_loss(self.decoder(responses).float(), target)


class MotionTask(Task[MotionNetwork, MotionExamples]):
    """MSE to the next frame's latent, from earlier frames of which some are hidden, guided by the
    responses."""

    def __init__(self, decoder: MotionNetwork, examples: MotionExamples, config: TrainMotionConfig) -> None:
        super().__init__(decoder, examples)
        self.config = config
        self.model_size, self.noam_factor = decoder.shapes.latent_size, config.noam_factor

    def fit_scalers(self) -> None:
        if self.config.standardise or self.config.target == "difference":
            self.decoder.fit_scalers(self.examples.latents, self.examples.fit)

    def losses(self, batch: MotionExamples) -> dict[str, Tensor]:
        responses = zeroed(self, batch.responses)
        return {"loss": self._loss(batch, responses, self._visible())}

    def _visible(self) -> Tensor:
        """Which frames each frame sees in one training step ``(frame, frame) bool``."""
        config, frames = self.config, self.decoder.shapes.frames - 1
        if config.mask_draws == "step":
            return sparse_causal(frames, config.keep_visible)
        with torch.random.fork_rng([]):
            torch.manual_seed(derived_seed(config.seed, "mask"))
            return sparse_causal(frames, config.keep_visible)

    def validate(self) -> dict[str, float]:
        data = self.examples.held_out(self.decoder.device)
        visible = causal(self.decoder.shapes.frames - 1)
        total = sum(
            float(self._loss(part, part.responses, visible)) * len(rows)
            for rows in torch.split(data.validation, BATCH)
            for part in (data.at(rows),)
        )
        figures = data.judge(lambda rows, first: self.decoder.follow(data.responses[rows], first))
        return {"loss": total / len(data.validation), **figures}

    def conclude(self) -> dict[str, float]:
        data = self.examples.held_out(self.decoder.device)
        return {"p": data.response_p(lambda rows, first: self.decoder.follow(data.responses[rows], first))}

    def _loss(self, data: MotionExamples, responses: Tensor, visible: Tensor) -> Tensor:
        network = self.decoder
        latents = data.latents.float()
        later = network.later_scaler.apply_to(network.later(latents))
        first = network.first_scaler.apply_to(self._first(data, latents[:, 0]))
        tokens = torch.cat([first[:, None], later[:, :-1]], dim=1)
        predicted = network(tokens, network.memory(responses), visible.to(latents.device))
        return moving_mse(predicted.float(), later, latents, self.config.motion_weight)

    def _first(self, data: MotionExamples, true: Tensor) -> Tensor:
        """First frames as configured; in validation always the decoded ones, as at inference, if any are
        used."""
        choice = self.config.first_frames
        if choice == "true":
            return true
        decoded = data.decoded.float()
        if choice == "decoded" or not self.training:
            return decoded
        chances = drawn(len(true), lambda clips: torch.rand(clips, 1, device=true.device))
        return torch.where(chances < 0.5, decoded, true)


def zeroed(task: SemanticTask | StructureTask | MotionTask, responses: Tensor) -> Tensor:
    """The responses of the current batch ``(clip, feature)`` with some entries zeroed, as configured."""
    config = task.config
    if config.zero_draws == "batch":
        return zero_entries(responses, config.zero_fraction)
    return accumulated_zeros(responses, config.zero_fraction, task.epoch, task.places, config.seed)
