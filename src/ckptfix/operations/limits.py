"""What a stranger's checkpoint may cost."""

from collections.abc import Iterator
from contextlib import contextmanager

from ckptfix.errors import CkptfixError
from ckptfix.names import NameLengthError
from ckptfix.text import visible
from ckptfix.untrusted_regex import SECONDS, RegexTimeError, limited_regexes

_SHOWN = 80


@contextmanager
def limited() -> Iterator[None]:
    """Bound what the rules and patterns of a block may cost.

    Raises:
        CkptfixError: regular expressions took too long, or rules made a name too long.
    """
    try:
        with limited_regexes():
            yield
    except NameLengthError as error:
        raise CkptfixError(f"rule {error}", advice="correct the rules") from error
    except RegexTimeError as error:
        expression = visible(str(error))
        if len(expression) > _SHOWN:
            expression = f"{expression[:_SHOWN]}..."
        raise CkptfixError(
            f"regular expressions were matched for {SECONDS:g} seconds, last {expression!r}",
            advice="write one that cannot backtrack so much",
        ) from error
