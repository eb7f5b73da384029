"""What a stranger's checkpoint may cost."""

from collections.abc import Iterator
from contextlib import contextmanager

from ckptfix.errors import CkptfixError
from ckptfix.names import NameLengthError
from ckptfix.search.effort import MOST_COMPARISONS, EffortError, limited_effort
from ckptfix.text import visible
from ckptfix.untrusted_regex import RegexTimeError, limited_regexes

_SHOWN = 80


@contextmanager
def limited() -> Iterator[None]:
    """Bound what the rules and patterns of a block may cost.

    Raises:
        CkptfixError: regular expressions took too long, rules made a name too long, or names and
            patterns are such that too many have to be compared.
    """
    try:
        with limited_regexes(), limited_effort():
            yield
    except EffortError as error:
        raise CkptfixError(
            f"names and patterns take more than {MOST_COMPARISONS:,} comparisons",
            advice="leave out patterns that match nothing",
        ) from error
    except NameLengthError as error:
        raise CkptfixError(f"rule {error}", advice="correct the rules") from error
    except RegexTimeError as error:
        expression = visible(str(error))
        if len(expression) > _SHOWN:
            expression = f"{expression[:_SHOWN]}..."
        raise CkptfixError(
            f"regular expressions were matched for {error.seconds:.1f} seconds, "
            f"last {expression!r}",
            advice="write one that cannot backtrack so much",
        ) from error
