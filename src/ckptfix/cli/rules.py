"""`ckptfix rules`."""

import sys

from ckptfix.cli.options import JsonOption


def rules(json: JsonOption = False) -> None:
    """List the rules of `ckptfix check`: code, severity, whether a rewrite repairs it, title.

    Example: ckptfix rules
    """
    from ckptfix.report.console import show, write_plain
    from ckptfix.report.rules_text import rules_json, rules_table
    from ckptfix.rules.registry import RULES

    if json:
        write_plain(rules_json(RULES.values()), sys.stdout)
    else:
        show([rules_table(RULES.values())], sys.stdout)
