"""From a name to a checkpoint."""

from collections.abc import Iterator
from contextlib import contextmanager

from ckptfix.checkpoint.checkpoint import Checkpoint, load_checkpoint
from ckptfix.checkpoint.source import DirectorySource
from ckptfix.errors import CkptfixError
from ckptfix.progress import SILENT, Listener
from ckptfix.remote.opening import DEFAULT_POLICY, NetworkPolicy, Opened, open_reference
from ckptfix.remote.reference import Reference, parse_reference
from ckptfix.rewriting.store import require_whole
from ckptfix.text import visible


def open_named(
    name: str, policy: NetworkPolicy = DEFAULT_POLICY, listener: Listener = SILENT
) -> Opened:
    """The source that a name refers to.

    Raises:
        CkptfixError: there is none, or it cannot be reached.
    """
    return open_noted(parse_reference(name, policy.revision), policy, listener)


def open_noted(reference: Reference, policy: NetworkPolicy, listener: Listener = SILENT) -> Opened:
    """The source of a reference; a note if it may not be the newest commit of its repository."""
    opened = open_reference(reference, policy)
    if opened.note:
        listener.note(opened.note)
    return opened


def load_opened(opened: Opened, listener: Listener = SILENT) -> Checkpoint:
    """The checkpoint of a source.

    Raises:
        CkptfixError: it cannot be read, or a rewrite of it was interrupted.
    """
    name = str(opened.reference)
    with in_checkpoint(name):
        if isinstance(opened.source, DirectorySource):
            require_whole(opened.source.root)
        return load_checkpoint(opened.source, name, listener)


def load(
    name: str, policy: NetworkPolicy = DEFAULT_POLICY, listener: Listener = SILENT
) -> Checkpoint:
    """The checkpoint that a name refers to.

    Raises:
        CkptfixError: as `open_named` and `load_opened`.
    """
    return load_opened(open_named(name, policy, listener), listener)


def load_unquantized(
    name: str, policy: NetworkPolicy = DEFAULT_POLICY, listener: Listener = SILENT
) -> Checkpoint:
    """The same for a checkpoint that need not be quantized.

    Raises:
        CkptfixError: as `open_named`, or it cannot be read.
    """
    opened = open_named(name, policy, listener)
    shown = str(opened.reference)
    with in_checkpoint(shown):
        return load_checkpoint(opened.source, shown, listener, quantized=False)


@contextmanager
def in_checkpoint(name: str) -> Iterator[None]:
    """Errors name the checkpoint: a call may read several."""
    try:
        yield
    except CkptfixError as error:
        error.checkpoint = visible(name)
        raise


def with_name(checkpoint: str, error: CkptfixError) -> str:
    """The message of an error, with the name of the checkpoint: a command may have several."""
    name = visible(checkpoint)
    if error.place is not None:
        own = error.checkpoint or name in error.place.file
        return str(error) if own else f"{name.rstrip('/')}/{error}"
    return str(error) if name in str(error) else f"{name}: {error}"
