"""The commands that start a server with a checkpoint."""

from collections.abc import Iterable, Iterator

from ckptfix.operations.overrides import Served
from ckptfix.remote.reference import plain_name
from ckptfix.report.commands import path_word, quoted
from ckptfix.report.console import line
from ckptfix.report.layout import SHELL, Line
from ckptfix.report.releases import release_range, runs_of_releases
from ckptfix.runtimes.registry import runtime_named
from ckptfix.runtimes.targets import Target
from ckptfix.text import visible


def serve_command(name: str, kind: str, target: Target, *options: str) -> str:
    """The command that serves a checkpoint.

    Args:
        name: the checkpoint, as the user names it.
        kind: `directory`, `snapshot`, `repository`, or `url`: that is served from where it is put.
        target: the release.
        options: words for the server.
    """
    words = [quoted(option) for option in options]
    if kind == "repository":
        repository, _, revision = plain_name(name).partition("@")
        named = quoted(repository)
        words = ["--revision", quoted(revision), *words] if revision else words
    else:
        named = "DIR" if kind == "url" else path_word(name)
    return " ".join((runtime_named(target.runtime).serve_command.format(named), *words))


def served_command(name: str, kind: str, served: Served) -> str:
    """The same with the override that it needs; empty if nothing helps."""
    if not served.loads:
        return ""
    options = (served.flag, served.override) if served.override else ()
    return serve_command(name, kind, served.target, *options, *served.after.answer.options)


def serving_lines(name: str, kind: str, ways: Iterable[Served]) -> Iterator[Line]:
    """A command for each release, as a shell script: what does not load is a comment."""
    ways = tuple(ways)
    if not ways:
        yield line("# no known release has an answer for this architecture")
    commands = ((one.target, (served_command(name, kind, one), _comment(one))) for one in ways)
    for releases, (command, comment) in runs_of_releases(commands):
        yield line(("# " + release_range(releases), "bold"), f": {comment}")
        if command:
            yield line((command, SHELL))


def _comment(served: Served) -> str:
    if served.loads:
        options = (*((served.flag,) if served.override else ()), *served.after.answer.options)
        return f"loads with {' and '.join(options)}" if options else "loads as it is"
    return visible(f"does not load: {served.problem}")
