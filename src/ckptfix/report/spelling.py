"""Messages as the command line spells them: flags and commands instead of parameters and calls.

Everything below `report` names parameters and functions of the Python API, in backquotes:
`output`, `device='cpu'`, `rewrite(from_tensors=True)`. Here they become `--output`,
`--device cpu` and `ckptfix rewrite DIR --from-tensors`.
"""

import ast
import re
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal

from ckptfix.operations.checked import CheckedCheckpoint
from ckptfix.report.commands import ELSEWHERE, quoted, suggested
from ckptfix.rules.finding import Repair

if TYPE_CHECKING:  # `check` does not need it
    from ckptfix.verifying.outcome import VerifyReport

RepairCommand = Literal["rewrite", "rewrite --from-tensors", "rewrite --tensors"]
REPAIR_COMMANDS: Final[dict[Repair, RepairCommand]] = {
    Repair.NAMES: "rewrite",
    Repair.CONTENT: "rewrite --from-tensors",
    Repair.TENSORS: "rewrite --tensors",
}
PLACEHOLDER: Final = "DIR"
"""The checkpoint in a command if none is known."""
FLAGS: Final = {
    "backend": "--backend",
    "device": "--device",
    "draft": "--draft",
    "from_tensors": "--from-tensors",
    "mapper": "--mapper",
    "maps": "--map",
    "modules": "--modules",
    "offline": "--offline",
    "output": "--output",
    "refresh": "--refresh",
    "revision": "--revision",
    "runtimes": "--runtime",
    "source": "--source",
    "tensors": "--tensors",
    "with_weights": "--with-weights",
}
"""Parameter -> flag; one that takes a list is a flag that is repeated."""
_COMMANDS: Final[dict[str, tuple[str, ...]]] = {
    "check": ("check",),
    "plan": ("rewrite", "--dry-run"),
    "rewrite": ("rewrite",),
    "undo": ("rewrite", "--undo"),
    "verify": ("verify",),
}
"""Function -> command and its flags."""
_SPELLED_FOR_PYTHON: Final = re.compile(
    rf"`(?P<function>{'|'.join(_COMMANDS)})\((?P<arguments>[^`]*)\)`"
    rf"|`(?P<parameter>{'|'.join(FLAGS)})(?:=(?P<value>[^`]+))?`"
)


def spelled(text: str, name: str = PLACEHOLDER, *elsewhere: str) -> str:
    """A message with flags and commands.

    >>> print(spelled("run `rewrite(tensors=True)`", "nano-vl"))
    run ckptfix rewrite nano-vl --tensors

    Args:
        text: a message for a user of the Python API.
        name: the checkpoint, as the user names it; for calls that name none.
        elsewhere: further options of a rewrite that writes, as `ELSEWHERE`.
    """

    def one(match: re.Match[str]) -> str:
        if match["function"]:
            return _command(match, name, elsewhere)
        value = () if match["value"] is None else _value(match["value"])
        return " ".join((FLAGS[match["parameter"]], *map(quoted, value)))

    return _SPELLED_FOR_PYTHON.sub(one, text) if "`" in text else text


def _value(code: str) -> tuple[str, ...]:
    """The word for a value; none for `True`."""
    try:
        value = ast.literal_eval(code)
    except (SyntaxError, ValueError):
        return (code,)  # a placeholder: DIR
    return () if value is True else (str(value),)


def _command(match: re.Match[str], name: str, elsewhere: tuple[str, ...]) -> str:
    try:
        call = ast.parse(match[0].strip("`"), mode="eval").body
    except SyntaxError:
        return match[0]
    if not isinstance(call, ast.Call):
        return match[0]
    verb, *options = _COMMANDS[match["function"]]
    for argument in call.args:
        (name,) = _value(ast.unparse(argument))
    for keyword in call.keywords:
        values = keyword.value.elts if isinstance(keyword.value, ast.List) else [keyword.value]
        for value in values:
            options += (FLAGS[str(keyword.arg)], *_value(ast.unparse(value)))
    if match["function"] == "rewrite" and not call.args:
        options += elsewhere
    return suggested(verb, name, *options)


def spelled_check(checked: CheckedCheckpoint) -> CheckedCheckpoint:
    """What `check` found, with its messages as the command line spells them."""
    elsewhere = () if checked.kind == "directory" else ELSEWHERE
    advice = lru_cache(lambda text: spelled(text, checked.name, *elsewhere))
    return replace(
        checked,
        error=spelled(checked.error, checked.name),
        name_map=spelled(checked.name_map),
        findings=tuple(replace(f, advice=advice(f.advice)) for f in checked.findings),
    )


def spelled_verify(report: "VerifyReport") -> "VerifyReport":
    """What `verify` found, with its messages as the command line spells them."""
    name = report.checkpoint
    findings = (replace(f, advice=spelled(f.advice, name)) for f in report.findings)
    return replace(report, findings=tuple(findings))


def repair_command(repair: Repair | None) -> RepairCommand | None:
    """The `ckptfix` command that repairs something."""
    return REPAIR_COMMANDS[repair] if repair is not None else None
