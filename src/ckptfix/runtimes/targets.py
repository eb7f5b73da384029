"""The releases that a user means: `vllm==0.17.1`, `sglang>=0.5.10`, `vllm`."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from msgspec import Struct
from msgspec.structs import replace
from packaging.version import Version

from ckptfix.errors import CkptfixError
from ckptfix.runtimes.installed.answer import Installed
from ckptfix.text import visible

_NUMBER = re.compile(r"\d+(?:\.\d+)+")
_OPERATORS = ("=", "<", ">", "!", "~")
_SPEC = re.compile(r"\s*([A-Za-z][A-Za-z0-9_-]*)\s*(.*?)\s*\Z", re.DOTALL)


class Target(Struct, frozen=True):
    """A target release, and the release whose profile is used."""

    runtime: str
    version: str
    """The release that the user means."""
    profile_version: str
    """The known release used for it: itself, or the newest one before it."""
    installed: Installed | None = None
    """The runtime itself, if installed on this machine and queried; its answer decides."""

    @property
    def recorded(self) -> "Target":
        """The same release, from recorded data instead of a query."""
        return replace(self, installed=None)

    @property
    def spec(self) -> str:
        """What a user writes to mean it."""
        if self.installed is not None:
            return f"{self.runtime}@{self.installed.python}"
        return f"{self.runtime}=={self.version}"

    @property
    def stands_in(self) -> str:
        """Whose answer is given for a release that is not known; empty for every other."""
        if self.installed is not None or self.version == self.profile_version:
            return ""
        return (
            f"{self.runtime} {visible(self.version)} is not known: this is the answer of "
            f"{self.profile_version}"
        )

    def __str__(self) -> str:
        if self.installed is not None:
            return f"{self.runtime} {visible(self.version)} (installed)"
        if self.version == self.profile_version:
            return f"{self.runtime} {self.version}"
        return f"{self.runtime} {self.version} (as {self.profile_version})"


def parse_target(spec: str, known: Mapping[str, Sequence[str]]) -> tuple[Target, ...]:
    """The releases that a spec means, oldest first.

    `==` names one release, known or not: for a release between two known ones, the older is used.
    Any other specifier, or none, means every known release that it admits.

    Args:
        spec: a runtime's name and a version specifier (PEP 440).
        known: runtime -> known releases, oldest first.

    Raises:
        CkptfixError: unknown runtime, malformed spec, or no known release can be used for it.
    """
    from packaging.specifiers import SpecifierSet  # noqa: PLC0415 - 8 ms, for `--runtime` alone

    match = _SPEC.match(spec)
    runtime = match.group(1).lower() if match else ""
    if runtime not in known:
        raise CkptfixError(
            f"`runtimes` {visible(spec)}: unknown runtime",
            advice=_meant(runtime, spec, known),
        )
    try:
        specifiers = SpecifierSet(match.group(2) if match else "", prereleases=True)
        exact = [
            s.version for s in specifiers if s.operator == "==" and not s.version.endswith(".*")
        ]
        if exact:
            return (_one_release(spec, runtime, exact[0], known[runtime]),)
        targets = tuple(Target(runtime, v, v) for v in known[runtime] if v in specifiers)
    except ValueError as error:  # InvalidSpecifier, or a number with thousands of digits
        raise CkptfixError(
            f"`runtimes` {visible(spec)}: not a version specifier",
            advice=f"write {runtime}=={known[runtime][-1]}, {runtime}>={known[runtime][0]} or "
            f"{runtime}",
        ) from error
    if not targets:
        raise CkptfixError(
            f"`runtimes` {visible(spec)}: no known release fits",
            advice=f"known are {', '.join(known[runtime])}",
        )
    return targets


def _meant(runtime: str, spec: str, known: Sequence[str] | Mapping[str, Sequence[str]]) -> str:
    close = get_close_matches(runtime, known, n=1)
    if close:
        rest = spec.strip()[len(runtime) :]
        number = _NUMBER.search(spec)
        if number and not rest.lstrip().startswith(_OPERATORS):
            return f"did you mean {close[0]}=={number[0]}"
        return f"did you mean {close[0]}{visible(rest)}"
    return f"known are {' and '.join(known)}, for example vllm==0.20.0"


def _one_release(spec: str, runtime: str, version: str, known: Sequence[str]) -> Target:
    older = older_releases(version, known)
    if not older:
        raise CkptfixError(
            f"`runtimes` {visible(spec)}: older than the oldest known release, {known[0]}",
            advice=f"serve with {known[0]} or later, or ask the release itself where it is "
            f"installed: {runtime}@PYTHON, with its environment or interpreter for PYTHON",
        )
    same = Version(older[-1]) == Version(version)  # `0.22` is the known 0.22.0
    return Target(runtime, older[-1] if same else version, older[-1])


def older_releases(version: str, known: Sequence[str]) -> list[str]:
    """The known releases that are not newer than a version, oldest first."""
    return [release for release in known if Version(release) <= Version(version)]
