"""Whether a module is excluded, which each runtime decides in its own way."""

from typing import Protocol

from ckptfix.runtimes.common.patterns import Excluded, Pattern


class Exclusion(Protocol):
    """The exclude patterns of a checkpoint, as one release applies them."""

    def find(self, name: str) -> Excluded | None:
        """Why a module of this name is excluded; None when it is not.

        Raises:
            LookupDisagreementError: the release would raise.
        """

    def find_for_layer(self, name: str, *, experts: bool) -> Excluded | None:
        """The same, as the release checks it when it builds a layer or an expert bank.

        Raises:
            LookupDisagreementError: the release would raise.
        """


def excluded(how: str, pattern: Pattern | None) -> Excluded | None:
    """The reason, where a pattern was found."""
    return Excluded(how, pattern) if pattern else None
