"""The text of an error, and what it says about this machine."""


def short(error: BaseException, length: int = 300) -> str:
    """Type and text of an error, cut to a length."""
    return f"{type(error).__name__}: {str(error)[:length]}"


def is_missing(error: BaseException | None) -> bool:
    """True if a package is missing: an import failed, or the error follows from one that did."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, ImportError):
            return True
        seen.add(id(error))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return False
