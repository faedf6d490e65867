"""The command `mindanim`: its subcommands and entry point."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from inspect import Parameter, Signature
from typing import Annotated, Any

import typer

from mindanim import console
from mindanim.cli.boundary import run_guarded
from mindanim.errors import UsageError
from mindanim.stages import STAGES
from mindanim.vocabulary.words import closest

STAGES_PANEL, HELPERS_PANEL = "Stages, in this order", "Helpers"
_FIRST_SEVEN = list(STAGES)[:7]
_HELPERS = {
    "init": "Look at your own study and write a study.toml with proposed options.",
    "show": "Show an artifact and its lineage, or list all artifacts.",
    "report": "Rebuild the report of an evaluation, or compare several evaluations on one page.",
    "doctor": "Check this machine: Python, torch, devices, weights, data.",
}
SUMMARIES = {name: stage.summary for name, stage in STAGES.items()} | _HELPERS
_CONTEXT = {"help_option_names": ["--help", "-h"]}
_HELP = """Reconstruct videos from human brain activity.

New here? `mindanim demo` runs everything on a simulated study. With your own study: `mindanim init bids
FOLDER` proposes the options and prints the commands to run."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exits with the codes of `mindanim.errors`."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    wanted = next((word for word in words if not word.startswith("-")), None)
    run_guarded(lambda: _run(words, wanted), debug="--debug" in words, as_json="--json" in words)


def _run(words: Sequence[str], wanted: str | None) -> None:
    try:
        code = build_app(wanted)(args=words, prog_name="mindanim", standalone_mode=False)
    except Exception as error:
        # Whatever typer calls the class of a command-line error, it has a message and an exit code.
        if not hasattr(error, "format_message"):
            raise
        raise _usage_error(error, wanted) from None
    if code:
        raise SystemExit(code)


def _usage_error(error: Any, wanted: str | None) -> UsageError:
    command = f"mindanim {wanted}" if wanted in SUMMARIES else "mindanim"
    option = str(getattr(error, "option_name", "")).lstrip("-").replace("-", "_")
    if wanted in STAGES and option:
        from mindanim.config.run_options import RunOptions

        config = STAGES[wanted].load_config().model_fields
        likely = closest(option, [*config, *RunOptions.model_fields])
        if likely in config and not (config[likely].json_schema_extra or {}).get("flag"):
            return UsageError(
                f"{command} has no flag --{option}.", hint=f"Did you mean --set {likely}=VALUE?"
            )
    return UsageError(str(error.format_message()), hint=f"See: {command} --help")


def build_app(wanted: str | None = None) -> typer.Typer:
    """The typer application.

    Args:
        wanted: The one command that gets its options; the others have only a name and a summary, so that
            nothing is imported for them. With None, or for shell completion, all commands get their options.
    """
    complete = wanted is None and "_MINDANIM_COMPLETE" in os.environ
    app = typer.Typer(
        help=_HELP, context_settings=_CONTEXT, rich_markup_mode="rich", pretty_exceptions_enable=False
    )
    app.callback(invoke_without_command=True)(_top)
    for name in (*_FIRST_SEVEN, *_HELPERS, *[name for name in STAGES if name not in _FIRST_SEVEN]):
        panel = STAGES_PANEL if name in _FIRST_SEVEN else HELPERS_PANEL
        function = _command(name) if complete or name == wanted else _unused
        app.command(name, help=SUMMARIES[name], rich_help_panel=panel, context_settings=_CONTEXT)(function)
    return app


def command_parameters(name: str) -> list[Parameter]:
    """The options and arguments of the command `name`."""
    from mindanim.cli.options import stage_parameters

    if name in STAGES:
        return stage_parameters(STAGES[name])
    parameters: list[Parameter] = import_module(f"mindanim.cli.{name}").parameters()
    return parameters


def _command(name: str) -> Callable[..., None]:
    def command(**given: Any) -> None:
        console.set_verbosity(
            console.QUIET if given["quiet"] else console.VERBOSE if given["verbose"] else console.NORMAL
        )
        run_guarded(lambda: _carry_out(name, given), debug=bool(given["debug"]), as_json=bool(given["json_"]))

    # typer reads the options from the function's signature and annotations.
    parameters = command_parameters(name)
    command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _carry_out(name: str, given: Mapping[str, Any]) -> None:
    from mindanim.cli.run import run_stage

    if name in STAGES:
        run_stage(name, given)
    else:
        import_module(f"mindanim.cli.{name}").run(given)


def _unused() -> None:
    """Placeholder for a command that was not asked for."""


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"mindanim {version('mindanim')}")
        raise typer.Exit


def _top(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", metavar="", callback=_show_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())
