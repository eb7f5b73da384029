"""The proved rewrite as a `fix` of SARIF: the lines of each metadata file that it replaces."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+\d+(?:,\d+)? @@")
_FILE = "--- a/"


@dataclass
class _Replaced:
    """Whole lines of a file, and what stands there afterwards."""

    first: int
    """The first line, counted from 1."""
    number: int
    """Lines that go."""
    text: list[str] = field(default_factory=list)


def fix_of(diff: str, uri: Callable[[str], str], text: str) -> dict[str, Any]:
    """One fix with every replacement of a patch; only all of them together were proved.

    Args:
        diff: unified, as `rewrite --dry-run` prints it.
        uri: the location of a file, by its name in the checkpoint.
        text: what it does.
    """
    changes = [
        {
            "artifactLocation": {"uri": uri(file)},
            "replacements": [_replacement(each) for each in replaced],
        }
        for file, replaced in _files(diff)
    ]
    return {"description": {"text": text}, "artifactChanges": changes}


def _replacement(replaced: _Replaced) -> dict[str, Any]:
    """A region of whole lines ends before their last line break (SARIF 2.1.0, 3.30.8)."""
    return {
        "deletedRegion": {
            "startLine": replaced.first,
            "endLine": replaced.first + replaced.number - 1,
        },
        "insertedContent": {"text": "\n".join(replaced.text)},
    }


def _files(diff: str) -> Iterator[tuple[str, list[_Replaced]]]:
    file = ""
    found: list[_Replaced] = []
    left = 0
    for row in diff.split("\n"):
        if left == 0 and row.startswith(_FILE):
            if found:
                yield file, found
            file, found = row.removeprefix(_FILE), []
        elif left == 0 and (hunk := _HUNK.match(row)):
            left = int(hunk[2] or 1)
            found.append(_Replaced(int(hunk[1]), left))
        elif found and row[:1] in (" ", "+"):
            found[-1].text.append(row[1:])
            left -= row[0] == " "
        elif found and row[:1] == "-" and left:
            left -= 1
    if found:
        yield file, found
