"""The commands that messages suggest; they can be pasted for every checkpoint name.

Every suggested command is made here: printable, quoted for a shell (bash, zsh, ksh), and with `--`
before a name that starts with a dash.
"""

import os
import re
import shlex
from typing import Final

_PLAIN: Final = re.compile(r"[A-Za-z0-9_@%+:,./-][A-Za-z0-9_@%+=:,./-]*")
"""Words that no shell changes; zsh expands a word that starts with `=`."""
ELSEWHERE: Final = ("--output", "DIR")
"""Options that a rewrite needs for a checkpoint that is not a directory."""


def quoted(word: str) -> str:
    r"""A word as a shell takes it, without a character that acts on a terminal.

    >>> print(quoted("nano-vl"), quoted("it is"), quoted("a\n"))
    nano-vl 'it is' $'a\012'
    """
    if _PLAIN.fullmatch(word):
        return word
    if word.isprintable():
        return shlex.quote(word)
    try:
        data = os.fsencode(word)
    except UnicodeEncodeError:
        data = word.encode("utf-8", "surrogatepass")
    plain = (chr(b) if 0x20 <= b < 0x7F and b not in b"\\'" else f"\\{b:03o}" for b in data)
    return f"$'{''.join(plain)}'"


def arguments(verb: str, name: str, *options: str) -> list[str]:
    """The arguments of `ckptfix`.

    Args:
        verb: the command.
        name: the checkpoint, as the user names it.
        options: words, as `--runtime`, `vllm==0.33.0`.
    """
    return [verb, *options, "--", name] if name.startswith("-") else [verb, name, *options]


def suggested(verb: str, name: str, *options: str) -> str:
    """A `ckptfix` command to paste; the arguments are those of `arguments`."""
    return " ".join(map(quoted, ("ckptfix", *arguments(verb, name, *options))))


def path_word(path: str) -> str:
    """A path for a program that would read a leading dash as an option."""
    return quoted(f"./{path}" if path.startswith("-") else path)
