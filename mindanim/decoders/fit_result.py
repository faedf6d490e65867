"""What fitting a decoder yields, by gradient descent or in closed form, and who fits in closed form."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from mindanim.decoders.base import Decoder, Shapes
from mindanim.decoders.validation_split import Split


@dataclass(frozen=True)
class Fitted:
    """A fitted decoder.

    Attributes:
        decoder: The decoder with its weights.
        history: One row per validated epoch; a single row for ridge.
        facts: Figures of the epoch that was kept.
        penalties: For ridge, every candidate penalty of every target with its cross-validated error.
        warnings: Codes and texts of findings.
    """

    decoder: Decoder
    history: pd.DataFrame
    facts: dict[str, Any]
    penalties: pd.DataFrame | None = None
    warnings: list[tuple[str, str]] = field(default_factory=list)


class ClosedForm(Decoder):
    """A decoder that is fitted at once, not by gradient descent; all others go through the training loop."""

    @classmethod
    def method(cls, config: Any) -> str:
        if ":" in config.decoder:
            return super().method(config)
        return f"The {cls.kind} decoder is a ridge regression of {cls.targets} on the responses."

    @classmethod
    @abstractmethod
    def fit(cls, config: Any, examples: Any, shapes: Shapes, split: Split) -> Fitted:
        """Fit the decoder.

        Args:
            config: The options of the training stage.
            examples: The training clips, of the class for this kind of decoder.
            shapes: Sizes of responses and targets.
            split: Which clips fit and which validate.

        Returns:
            The fitted decoder; ``facts`` has best_epoch (1), val_score and val_p.
        """
