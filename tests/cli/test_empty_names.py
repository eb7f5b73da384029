"""No command takes an empty name: `"$MODEL"` of an unset variable is not the working directory.

Every command, argument and option of the command line is walked, so that a new one is tried too.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

import pytest
from typer.main import get_command

from ckptfix.cli.app import command_line
from generate_docs import COMMANDS
from tests.conftest import Call, CopyOf, files_of

GROUP: Any = get_command(command_line())
BLANKS = ("", " ", "\t \n", "\u3000")


def is_option(parameter: Any) -> bool:
    return bool(parameter.opts[0].startswith("-"))


def is_text(hint: Any) -> bool:
    """True for `str`, `str | None`, `list[str]`; not for a flag, a number or a choice."""
    return hint is str or (get_origin(hint) is not Literal and any(map(is_text, get_args(hint))))


def given(parameters: list[Any], left_out: Any) -> list[str]:
    """A good value for every argument that must be there, but for one."""
    return ["." for p in parameters if p.required and p is not left_out and not is_option(p)]


def lines(command: str, parameter: Any, blank: str) -> Iterator[list[str]]:
    """Command lines in which one value is blank: alone, and among others where it may repeat."""
    parameters = GROUP.commands[command].params
    if is_option(parameter):
        for option in parameter.opts:
            yield [command, *given(parameters, None), option, blank]
            yield [command, *given(parameters, None), option, "a=b", option, blank]
            if option.startswith("--"):
                yield [command, *given(parameters, None), f"{option}={blank}"]
        return
    before = parameters[: parameters.index(parameter)]
    after = parameters[parameters.index(parameter) + 1 :]
    for values in ([blank], ["--", blank], [".", blank, "."]):
        if len(values) < 3 or parameter.nargs == -1:
            yield [command, *given(before, None), *values, *given(after, None)]


def walk() -> Iterator[tuple[str, Any]]:
    """(command, parameter) for whatever takes a name, a path or another text."""
    for registered in command_line().registered_commands:
        function = cast("Callable[..., None]", registered.callback)
        hints = get_type_hints(function)
        for parameter in GROUP.commands[function.__name__].params:
            if is_text(hints.get(parameter.name)):
                yield function.__name__, parameter


WALK = tuple(walk())


def test_the_walk_reaches_every_command_and_what_is_known_to_take_a_path() -> None:
    assert set(GROUP.commands) == set(COMMANDS)
    reached = {(command, parameter.opts[0]) for command, parameter in WALK}
    assert {
        ("check", "checkpoints"),
        ("check", "--from-file"),
        ("check", "--output-file"),
        ("check", "--config"),
        ("check", "--mapper"),
        ("check", "--revision"),
        ("rewrite", "checkpoints"),
        ("rewrite", "--output"),
        ("rewrite", "--mapper"),
        ("inspect", "checkpoint"),
        ("resolve", "checkpoint"),
        ("resolve", "modules"),
        ("verify", "directory"),
        ("verify", "--source"),
        ("demo", "directory"),
    } <= reached


@pytest.fixture
def here(copy_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint that a rewrite of the working directory would change."""
    made = copy_of("nanovl-mixed")
    monkeypatch.chdir(made)
    return made


@pytest.mark.parametrize(
    ("command", "parameter"), WALK, ids=[f"{command} {p.opts[0]}" for command, p in WALK]
)
def test_an_empty_value_is_refused(here: Path, call: Call, command: str, parameter: Any) -> None:
    before = files_of(here)
    for blank in BLANKS:
        for line in lines(command, parameter, blank):
            done = call(*line)
            assert (done.returncode, done.stdout) == (2, ""), line
            assert done.stderr.startswith("error: "), line
            assert done.stderr.count("\n") == 1, line
            assert " is empty; in a script, check that the variable it comes from is set" in (
                done.stderr
            ), line
    assert files_of(here) == before
    assert os.listdir(here.parent) == [here.name]


def test_the_working_directory_by_its_name_is_still_taken(here: Path, call: Call) -> None:
    assert call("check", ".").returncode == 1
    assert call("rewrite", ".").returncode == 0
    assert (here / ".ckptfix").is_dir()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no checkpoint"),
        ("\n \n\t\n# only this\n  #\n", "names no checkpoint"),
        ("file://\n", "not an absolute path"),
    ],
)
def test_a_list_of_names_that_are_empty(here: Path, call: Call, text: str, message: str) -> None:
    (here / "list").write_text(text)
    done = call("check", "--from-file", "list")
    assert (done.returncode, message in done.stderr) == (2, True)


def test_blank_lines_in_a_list_name_nothing(here: Path, call: Call) -> None:
    (here / "list").write_text("\n.\n   \n")
    done = call("check", "--from-file", "list", "--json")
    assert (done.returncode, done.stdout.count("\n")) == (1, 1)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ('per-path-ignores = {"" = ["CKF1"]}', "per-path-ignores"),
        ('per-path-ignores = {" " = ["CKF1"]}', "per-path-ignores"),
        ('runtimes = [""]', "runtimes"),
        ('runtimes = ["vllm", " "]', "runtimes"),
        ('select = [""]', "select"),
        ('ignore = [" "]', "ignore"),
    ],
)
def test_an_empty_name_in_a_configuration(here: Path, call: Call, settings: str, key: str) -> None:
    (here / "ckptfix.toml").write_text(settings)
    done = call("check", ".")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {here / 'ckptfix.toml'}: {key}")


@pytest.mark.parametrize("variable", ["CKPTFIX_CACHE", "XDG_CACHE_HOME"])
def test_an_empty_variable_is_no_folder(
    here: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ckptfix.remote.cache import cache_folder

    monkeypatch.delenv("CKPTFIX_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    usual = cache_folder()
    for blank in BLANKS:
        monkeypatch.setenv(variable, blank)
        assert cache_folder() == usual
    assert usual.is_absolute()
    assert here.is_dir()


def test_an_option_after_the_dashes_is_no_checkpoint(copy_of: CopyOf, call: Call) -> None:
    """`rewrite -- DIR --undo` would rewrite DIR."""
    directory = copy_of("nanovl-mixed")
    before = files_of(directory)
    done = call("rewrite", "--", directory, "--undo")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: --undo stands after --, where every word is a name; write options before the --\n"
    )
    assert files_of(directory) == before
    assert call("check", "--", directory).returncode == 1
