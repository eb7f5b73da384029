"""Shell completion: rule codes, runtimes with their releases, architectures.

Imports nothing slow: `--help` and `--version` load this file.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import Final

_BREAKS: Final = frozenset("=:")
"""Characters at which bash splits a word that it completes (`COMP_WORDBREAKS`), where names of
releases and repositories have them."""


@contextmanager
def bash_words() -> Iterator[None]:
    """Complete `vllm==0.3` in bash, which passes it as three words and replaces the last.

    The words are joined again, and what bash keeps of them is cut off what is proposed. Other
    shells pass words as they are typed.
    """
    words = os.environ.get("COMP_WORDS", "").split("\n")
    if os.environ.get("_CKPTFIX_COMPLETE") != "complete_bash" or len(words) < 2:
        yield
        return
    joined, kept = _joined(words[: int(os.environ.get("COMP_CWORD", "0")) + 1])
    os.environ |= {"COMP_WORDS": "\n".join(joined), "COMP_CWORD": str(len(joined) - 1)}
    proposed = StringIO()
    try:
        with redirect_stdout(proposed):
            yield
    finally:
        for proposal in proposed.getvalue().splitlines():
            sys.stdout.write(f"{proposal.removeprefix(kept)}\n")


def _joined(words: list[str]) -> tuple[list[str], str]:
    """The words as they were typed, and the part of the last one that bash keeps.

    >>> _joined(["check", "--runtime", "vllm", "==", "0.3"])
    (['check', '--runtime', 'vllm==0.3'], 'vllm==')
    """
    joined: list[str] = []
    kept, after_break = "", False
    for word in words:
        is_break = bool(word) and _BREAKS.issuperset(word)
        if joined and (is_break or after_break):
            kept = joined[-1] + (word if is_break else "")
            joined[-1] += word
        else:
            kept = ""
            joined.append(word)
        after_break = is_break
    # The value of `--runtime=vllm==0.3` is proposed without its option.
    return joined, kept.partition("=")[2] if kept.startswith("--") else kept


def rule_codes(incomplete: str) -> list[tuple[str, str]]:
    """Codes and their titles; in a comma-separated list, the last one is completed."""
    from ckptfix.rules.registry import RULES

    before, comma, last = incomplete.rpartition(",")
    return [
        (f"{before}{comma}{code}", rule.title)
        for code, rule in RULES.items()
        if code.startswith(last)
    ]


def releases(incomplete: str) -> list[str]:
    """Runtimes, and each with a known release."""
    from ckptfix.runtimes.profile_store import known_releases
    from ckptfix.runtimes.registry import known_runtimes

    names = known_runtimes()
    every = [*names, *(f"{name}=={v}" for name in names for v in reversed(known_releases(name)))]
    return [name for name in every if name.startswith(incomplete)]


def architectures(incomplete: str) -> list[str]:
    """Names that the newest release of some runtime registers."""
    from ckptfix.runtimes.profile_store import load_profile
    from ckptfix.runtimes.releases import newest_targets

    found = {
        name
        for target in newest_targets()
        for name in load_profile(target.runtime, target.version).architectures
        if name.startswith(incomplete)
    }
    return sorted(found)
