"""Text of a checkpoint made safe to show."""


def visible(name: str) -> str:
    r"""The name with every unprintable character escaped, safe to show on any terminal.

    >>> print(visible("lm_head.\x00sentinel"))
    lm_head.\x00sentinel
    """
    if name.isprintable():
        return name
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def printable(text: str) -> str:
    r"""Text that no terminal acts upon; only line breaks and tabs stay.

    >>> printable("one\ntwo \x1b[2J")
    'one\ntwo \\x1b[2J'
    """
    return "\n".join("\t".join(map(visible, row.split("\t"))) for row in text.split("\n"))
