"""The commands that messages suggest: they can be pasted, whatever a checkpoint is called.

Every suggested command is made here: quoted for a shell (bash, zsh, ksh), with `--` in front of a
name that starts with a dash, printable.
"""

import os
import re
import shlex
from typing import Final

_PLAIN: Final = re.compile(r"[A-Za-z0-9_@%+:,./-][A-Za-z0-9_@%+=:,./-]*")
"""Words that no shell changes; zsh expands a word that starts with `=`."""
ELSEWHERE: Final = ("--output", "DIR")
"""What a rewrite needs of a checkpoint that is no directory."""
_WITHOUT_NAME: Final = re.compile(
    r"ckptfix (?P<verb>check|rewrite|verify)(?P<options>(?: --runtime [^\s;]+| --[a-z-]+)*)"
    r"(?! DIR\b)"
)
"""A command in a text of ours that names no checkpoint."""


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
    """A path for a program that may take what starts with a dash for an option."""
    return quoted(f"./{path}" if path.startswith("-") else path)


def with_name(text: str, name: str, *options: str) -> str:
    """A text of ours with the checkpoint put into the commands that name none.

    Args:
        text: advice, as `run ckptfix rewrite --from-tensors`.
        name: the checkpoint, as the user names it.
        options: what a rewrite of it needs besides, as `--output`, `DIR`.
    """

    def named(match: re.Match[str]) -> str:
        verb, flags = match["verb"], match["options"]
        if verb == "rewrite" and "--dry-run" not in flags:
            flags += "".join(f" {quoted(option)}" for option in options)
        if name.startswith("-"):
            return f"ckptfix {verb}{flags} -- {quoted(name)}"
        return f"ckptfix {verb} {quoted(name)}{flags}"

    return _WITHOUT_NAME.sub(named, text)
