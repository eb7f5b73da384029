"""What a stranger's checkpoint may cost.

Imports little: `--help` and `--version` pay for it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from ckptfix.errors import CkptfixError
from ckptfix.regex_time import SECONDS, RegexTimeError, limited_regexes

_SHOWN = 80


@contextmanager
def limited() -> Iterator[None]:
    """Bound the time of the regular expressions that are matched inside.

    Raises:
        CkptfixError: they took longer.
    """
    try:
        with limited_regexes():
            yield
    except RegexTimeError as error:
        from ckptfix.names import visible

        expression = visible(str(error))
        if len(expression) > _SHOWN:
            expression = f"{expression[:_SHOWN]}..."
        raise CkptfixError(
            f"regular expressions were matched for {SECONDS:g} seconds, last {expression!r}",
            advice="write one that cannot backtrack so much",
        ) from error
