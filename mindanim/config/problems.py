"""What to say about options that are unknown, invalid, or without effect."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mindanim.config.option import Options
from mindanim.config.run_options import RunOptions
from mindanim.config.variants import circumstance, example, wanted_of, with_value
from mindanim.errors import ConfigError, MindanimError, UsageError
from mindanim.vocabulary.words import names_and_more, unknown


@dataclass(frozen=True)
class Layer:
    """Options from one origin.

    Args:
        origin: Option name -> where its value came from.
        values: Option name -> value, as given.
        error: The class of what is reported about these values.
        typed: Whether the user asked for each value in this call. Recipes are not typed: they hold the
            options of all variants, and those of the others are ignored.
    """

    origin: Callable[[str], str]
    values: Mapping[str, Any]
    error: type[MindanimError] = ConfigError
    typed: bool = True


DEFAULTS = Layer(lambda _: "default", {})


def unknown_option(stage: str, name: str, layer: Layer, model: type[Options]) -> MindanimError:
    """An option that `stage` does not have."""
    candidates = [*model.model_fields, *RunOptions.model_fields]
    return layer.error(
        f"{stage}: {unknown('option', name, candidates)}",
        why=f"It comes from {layer.origin(name)}.",
        hint=f"List all options of this stage: mindanim {stage} --explain",
    )


def without_effect(
    stage: str, names: Sequence[str], other: str, value: Any, layer: Layer, model: type[Options]
) -> MindanimError:
    """Options that do nothing because another one has the wrong value for them.

    Args:
        stage: The subcommand.
        names: The options without effect, all from `layer` and all because of `other`.
        other: The option they depend on.
        value: Its value.
        layer: Where the options come from.
        model: The stage's options.
    """
    written = [layer.origin(name) for name in names]
    own = layer.origin("a") != layer.origin("b")  # a flag or a variable, where a file has one for all
    what = names_and_more(written if own else names)
    found = "" if own else f"Set in {written[0]}. "
    wanted = wanted_of(model, names[0], other)
    verb, whose = ("does", "It has") if len(names) == 1 else ("do", "They have")
    choice = example(model, other, wanted)
    return layer.error(
        f"{stage}: {what} {verb} nothing {with_value(other, value)}.",
        why=f"{found}{whose} an effect only {circumstance(model, other, wanted)}.",
        hint=f"Leave {'it' if len(names) == 1 else 'them'} out" + (f", or use {choice}" if choice else "."),
    )


def invalid_option(
    stage: str,
    details: Sequence[Mapping[str, Any]],
    model: type[Options],
    sources: Mapping[str, Layer],
    values: Mapping[str, Any],
) -> MindanimError:
    """The problem of one option; `details` has one entry, or one for each type that it might have had."""
    detail, *others = details
    # Of the other types, those that say in our words what they take are worth a mention.
    said = [detail, *(other for other in others if other["type"] == "value_error")]
    message = ", or ".join(str(one["msg"]).removeprefix("Value error, ").rstrip(".") for one in said)
    if not detail["loc"]:
        return ConfigError(f"{stage}: {message}.")
    name = str(detail["loc"][0])
    layer = sources.get(name, DEFAULTS)
    help_text = model.model_fields[name].description or ""
    if detail["type"] == "missing":
        return UsageError(f"{stage}: the option {name} is required.", why=help_text)
    shown = values.get(name)
    end = "" if message.endswith("?") else "."
    # "unknown sampler 'ddmi'" says all that "sampler = 'ddmi' is not possible" would.
    refused = "" if message.startswith("unknown ") else f"{name} = {shown!r} is not possible: "
    return layer.error(
        f"{stage}: {refused}{message[:1].lower()}{message[1:]}{end}",
        why=f"It comes from {layer.origin(name)}.",
        hint=f"{name}: {help_text}",
    )
