"""Write the parts of docs/ that follow from the code: `make format` runs this."""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec

import ckptfix
from ckptfix.report.check_json import check_schema
from ckptfix.report.check_text import below_first_screen
from ckptfix.report.compare_json import compare_schema
from ckptfix.report.console import write_plain
from ckptfix.report.inspect_json import inspect_schema
from ckptfix.report.rewrite_json import rewrite_schema
from ckptfix.report.spelling import repair_command, spelled, spelled_check
from ckptfix.report.verify_json import verify_schema
from ckptfix.rules.finding import Rule
from ckptfix.rules.registry import RULES, families
from ckptfix.runtimes.name_maps import NameMapSpec
from docs_families import families_reference

DOCS = Path(__file__).parents[1] / "docs"
DATA = Path(__file__).parents[1] / "tests" / "data"
CLI_HEAD = """\
# Command line

Generated from the help texts by `tools/generate_docs.py`.
See also [how a rewrite works](rewrite.md).
"""
RULES_HEAD = """\
# Rules

Generated from the registry by `tools/generate_docs.py`; `ckptfix rules` and `ckptfix explain CODE`
show the same. An error means that a runtime which uses the metadata builds the module incorrectly;
a warning, that the effect depends on the runtime. `check` exits with 1 on either, unless
`--fail-on error` or the [configuration](../configuration.md) changes that. CKF8 rules need the
weights: only [`ckptfix verify`](../verify.md) finds them.
"""
EXAMPLE_RUNTIMES = ("vllm==0.17.1",)
"""Releases for the examples of rules that depend on one."""


def _help(*command: str) -> str:
    environment = {**os.environ, "COLUMNS": "88", "NO_COLOR": "1"}
    arguments = [sys.executable, "-m", "ckptfix", *command, "--help"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, env=environment)
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())


COMMANDS = tuple(re.findall(r"^  (\w+)  ", _help().partition("\nCommands:\n")[2], re.MULTILINE))
"""In the order of `--help`."""


def cli_reference() -> str:
    """docs/cli.md: the help text of every command."""
    parts = [CLI_HEAD, f"## ckptfix\n\n```text\n{_help()}\n```\n"]
    parts += [f"## ckptfix {name}\n\n```text\n{_help(name)}\n```\n" for name in COMMANDS]
    return "\n".join(parts)


def rules_index() -> str:
    """docs/rules/README.md: every rule, by family."""
    parts = [RULES_HEAD]
    for family in families():
        rows = [
            f"| [{rule.code}]({rule.code}.md) | {rule.severity.value} | "
            f"{f'`{repair_command(rule.fixed_by)}`' if rule.fixed_by else '-'} | {rule.title} |"
            for rule in RULES.values()
            if rule.family == family
        ]
        head = "| code | severity | repaired by | title |\n|---|---|---|---|"
        parts.append("\n".join([f"## {family.prefix}: {family.title}\n", head, *rows, ""]))
    return "\n".join(parts)


def rule_page(rule: Rule) -> str:
    """docs/rules/CODE.md: one rule, with the output of `check` for a real checkpoint."""
    repairs = f", `ckptfix {repair_command(rule.fixed_by)}` repairs it" if rule.fixed_by else ""
    head = f"{rule.severity.value}, {rule.family.title}{repairs}, since ckptfix {rule.since}"
    parts = [
        f"# {rule.code}: {rule.title}\n",
        f"{head}. [All rules](README.md).\n",
        f"## Why\n\n{spelled(rule.why)}\n",
        f"## Fix\n\n{spelled(rule.fix)}\n",
        f"## Example\n\n```diff\n{rule.example}\n```\n",
        *_example(rule),
    ]
    return "\n".join(parts)


def _example(rule: Rule) -> Iterator[str]:
    """The first checkpoint under tests/data that the rule finds something in."""
    runtimes = EXAMPLE_RUNTIMES if rule.needs == "release" else ()
    for directory in sorted(path.parent for path in DATA.glob("*/config.json")):
        try:
            with chdir(DATA):
                checked = ckptfix.check(directory.name, runtimes=runtimes, select=[rule.code])
                checked = spelled_check(checked)
        except ckptfix.CkptfixError:
            continue  # the release does not register the architecture
        if checked.findings:
            shown = replace(checked, ignored={})
            text = io.StringIO()
            write_plain(below_first_screen(shown), text)
            more = "".join(f" --runtime {spec}" for spec in runtimes)
            command = f"$ ckptfix check {directory.name} --select {rule.code}{more}"
            yield f"## In a checkpoint\n\n```console\n{command}\n{text.getvalue().rstrip()}\n```\n"
            return


def mapper_schema() -> str:
    """docs/mapper.schema.json: the JSON Schema of a mapper file."""
    return json.dumps(msgspec.json.schema(NameMapSpec), indent=2) + "\n"


GENERATED: dict[str, Callable[[], str]] = {
    "cli.md": cli_reference,
    "rules/README.md": rules_index,
    **{f"rules/{rule.code}.md": partial(rule_page, rule) for rule in RULES.values()},
    "families.md": families_reference,
    "check.schema.json": check_schema,
    "compare.schema.json": compare_schema,
    "inspect.schema.json": inspect_schema,
    "rewrite.schema.json": rewrite_schema,
    "verify.schema.json": verify_schema,
    "mapper.schema.json": mapper_schema,
}


def write_all() -> None:
    """Write every page, then delete those of rules that no longer exist."""
    pages = {DOCS / name: make() for name, make in GENERATED.items()}
    for path, text in pages.items():
        path.write_text(text, encoding="utf-8")
    for page in (DOCS / "rules").glob("*.md"):
        if page not in pages:
            page.unlink()


if __name__ == "__main__":
    write_all()
