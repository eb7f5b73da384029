"""Calls of the Python API in messages; the command line turns them into commands."""


def call(function: str, checkpoint: str) -> str:
    """A call in backquotes that names its checkpoint.

    >>> print(call("undo", "nano-vl"))
    `undo('nano-vl')`
    """
    argument = repr(checkpoint).replace("`", r"\x60")
    return f"`{function}({argument})`"
