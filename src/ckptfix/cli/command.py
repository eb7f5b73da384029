"""The class of every command: arguments and options reject an empty string.

`ckptfix rewrite "$MODEL"` with the variable unset must not mean the working directory; options that
are added later are covered too.
"""

import os
import re
from collections.abc import Iterable, Iterator, Set
from typing import Any, Final

from typer.core import TyperCommand, TyperGroup

from ckptfix.cli.coercion import spare_conversions
from ckptfix.cli.ending import stopped
from ckptfix.errors import CkptfixError, empty

_DEFAULT: Final = re.compile(r"\[default: \((\w+)\)")
"""A default that Click shows in parentheses, because it is a text and not the value."""


class Commands(TyperGroup):
    """All commands."""

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 - Typer bundles Click
        """The options before the command."""
        return spare_conversions(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - Click's context
        """Parse the options before the command, and `--color` wherever it is."""
        parsed: list[str] = super().parse_args(ctx, _with_colour_first(args))
        return parsed

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - Typer bundles Click or depends on it
        """Parse the rest and run the command.

        Raises:
            StoppedError: the user stopped it.
        """
        with stopped():
            return super().invoke(ctx)


class Command(TyperCommand):
    """A command that refuses empty and blank values before it runs."""

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 - Typer bundles Click
        """The arguments and options."""
        return spare_conversions(super().get_params(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ANN401 - Typer bundles Click
        """The usage line: releases of Typer put different brackets around an argument."""
        arguments = filter(_is_argument, self.get_params(ctx))
        names = ((_name(argument), argument.required) for argument in arguments)
        return ["[OPTIONS]", *(name if required else f"[{name}]" for name, required in names)]

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - Typer bundles Click
        """The arguments without their types in Python; the options without a double bracket."""
        rows: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and _is_argument(parameter):
                rows["Arguments"].append((_name(parameter), record[1]))
            elif record is not None:
                rows["Options"].append((record[0], _DEFAULT.sub(r"[default: \1", record[1])))
        for title, records in rows.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - Typer bundles Click or depends on it
        """Run the command.

        Args:
            ctx: Click's context, with the values of all parameters.

        Raises:
            CkptfixError: a value has no visible character, or an option was typed after `--`.
        """
        flags = {option for parameter in self.params for option in parameter.opts}
        for parameter in self.params:
            if _is_argument(parameter):
                _require_no_option(_texts(ctx.params.get(str(parameter.name))), flags)
            if not all(map(str.strip, _texts(ctx.params.get(str(parameter.name))))):
                shown = parameter.metavar or str(parameter.name)
                options = sorted(parameter.opts, key=len) if parameter.opts[0][:1] == "-" else ()
                raise empty(options[-1] if options else shown.strip("[]."))
        return super().invoke(ctx)


def _is_argument(parameter: Any) -> bool:  # noqa: ANN401 - Typer bundles Click
    return str(parameter.param_type_name) == "argument"


def _name(argument: Any) -> str:  # noqa: ANN401 - Typer bundles Click
    return str(argument.metavar).strip("[]")


def _with_colour_first(args: list[str]) -> list[str]:
    """The arguments with `--color` before the command, where its option is declared.

    >>> _with_colour_first(["check", "DIR", "--color", "always", "--", "--color"])
    ['--color', 'always', 'check', 'DIR', '--', '--color']
    """
    end = args.index("--") if "--" in args else len(args)
    for place, word in enumerate(args[:end]):
        if word == "--color" or word.startswith("--color="):
            after = place + (2 if word == "--color" else 1)
            return [*args[place:after], *args[:place], *args[after:]]
    return args


def _require_no_option(words: Iterable[str], flags: Set[str]) -> None:
    """Refuse a word like `--undo` after `--`: without it the command would do something else."""
    for word in words:
        if word in flags and word.startswith("-") and not os.path.lexists(word):
            raise CkptfixError(
                f"{word} stands after --, where every word is a name",
                advice="write options before the --",
            )


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
