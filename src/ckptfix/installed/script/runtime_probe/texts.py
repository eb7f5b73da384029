"""The text of an error."""


def short(error: BaseException, length: int = 300) -> str:
    """Type and text of an error, cut to a length."""
    return f"{type(error).__name__}: {str(error)[:length]}"
