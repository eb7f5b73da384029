"""`ckptfix explain`."""

import sys
from typing import Annotated

import typer

from ckptfix.cli.completion import rule_codes


def explain(
    code: Annotated[
        str,
        typer.Argument(
            metavar="CODE",
            autocompletion=rule_codes,
            help="Rule code, for example CKF101.",
            show_default=False,
        ),
    ],
) -> None:
    """Show why a rule matters, with a real case, and how to fix what it finds.

    Example: ckptfix explain CKF101
    """
    from ckptfix.report.console import show, width_of
    from ckptfix.report.rules_text import rule_lines
    from ckptfix.rules.catalogue import find_rule

    show(rule_lines(find_rule(code), width_of(sys.stdout)), sys.stdout)
