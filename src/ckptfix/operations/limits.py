"""Time limits for untrusted input."""

from collections.abc import Iterator
from contextlib import contextmanager

from ckptfix.errors import CkptfixError
from ckptfix.search.effort import MOST_COMPARISONS, EffortError, NameLengthError, limited_effort
from ckptfix.text import visible
from ckptfix.untrusted_regex import RegexTimeError, limited_regexes

_SHOWN = 80


@contextmanager
def limited() -> Iterator[None]:
    """Limit the time that the rules and patterns of a block may take.

    Raises:
        CkptfixError: regular expressions took too long, rules produced a name that is too long, or
            names and patterns require too many comparisons.
    """
    try:
        with limited_regexes(), limited_effort():
            yield
    except EffortError as error:
        raise CkptfixError(
            f"matching names against patterns takes more than {MOST_COMPARISONS:,} comparisons",
            advice="remove patterns that match nothing",
        ) from error
    except NameLengthError as error:
        raise CkptfixError(f"rule {error}", advice="correct the rules") from error
    except RegexTimeError as error:
        expression = visible(str(error))
        if len(expression) > _SHOWN:
            expression = f"{expression[:_SHOWN]}..."
        raise CkptfixError(
            f"matching regular expressions took more than {error.seconds:.1f} seconds, last "
            f"{expression!r}",
            advice="rewrite it so that it backtracks less",
        ) from error
