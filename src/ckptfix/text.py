"""Text of a checkpoint made safe to show, on a terminal and in the log of a CI job.

What runners act on in the output of a job:

- GitHub: `::name ...::` at the start of a line, also after blanks, and the older `##[name ...]`
  anywhere (actions/runner, src/Runner.Common/ActionCommand.cs, `TryParseV2` and `TryParse`);
- Azure Pipelines: `##vso[...]` anywhere (azure-pipelines-agent, Command.cs, `TryParse`) and
  `##[...]` ("Logging commands" in its documentation);
- GitLab: `section_start:TIME:NAME` and `section_end:TIME:NAME` anywhere ("Job logs"; GitLab
  requires a carriage return after it, other readers of its logs do not);
- TeamCity: `##teamcity[...]` ("Service messages").
"""

import re
from collections.abc import Callable
from typing import Final

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
"""In ASCII, what a terminal may act on, besides line breaks and tabs."""
_COMMAND: Final = re.compile(
    r"^[ \t]*:(?=:)|#(?=#(?:(?i:vso|teamcity))?\[)|s(?=ection_(?:start|end):)", re.MULTILINE
)
"""Matches end at the character to escape."""


def visible(name: str) -> str:
    r"""The name with every unprintable character escaped, safe to show on any terminal.

    >>> print(visible("lm_head.\x00sentinel"))
    lm_head.\x00sentinel
    """
    if name.isprintable():
        return name
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def without_controls(text: str) -> str:
    r"""Text that no terminal acts on; only line breaks and tabs stay.

    >>> without_controls("one\ntwo \x1b[2J")
    'one\ntwo \\x1b[2J'
    """
    if text.isascii():
        return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
    return "\n".join("\t".join(map(visible, row.split("\t"))) for row in text.split("\n"))


def command_starts(text: str) -> list[int]:
    """Positions of the characters to escape so that no runner finds a command in the text."""
    # A fast check: a report may have a million lines.
    if "::" not in text and "##" not in text and "section_" not in text:
        return []
    return [found.end() - 1 for found in _COMMAND.finditer(text)]


def backslashed(character: str) -> str:
    r"""An ASCII character as Python would escape it.

    >>> backslashed("#")
    '\\x23'
    """
    return f"\\x{ord(character):02x}"


def inert(text: str, escape: Callable[[str], str] = backslashed) -> str:
    r"""Text that no runner acts on.

    Args:
        text: one line or several.
        escape: how a character is escaped in the language of the text.

    >>> inert("  ::error::x ##[error]y")
    '  \\x3a:error::x \\x23#[error]y'
    """
    starts = command_starts(text)
    ends = [start + 1 for start in starts]
    kept = (text[a:b] for a, b in zip([0, *ends], [*starts, len(text)], strict=True))
    escaped = [escape(text[start]) for start in starts]
    return "".join(f"{one}{other}" for one, other in zip(kept, [*escaped, ""], strict=True))


def printable(text: str) -> str:
    r"""Text that neither a terminal nor a runner acts on; only line breaks and tabs stay.

    >>> printable("one\n::add-mask::two \x1b[2J")
    'one\n\\x3a:add-mask::two \\x1b[2J'
    """
    return inert(without_controls(text))
