"""`check --format sarif`: SARIF 2.1.0 for code scanning."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any, Final
from urllib.parse import quote

from ckptfix import __version__
from ckptfix.operations.checked import CheckedCheckpoint, ReleaseAnswer, cured
from ckptfix.place import Place
from ckptfix.report.check_groups import group_text, groups, path_of
from ckptfix.report.check_report import CheckReport
from ckptfix.report.console import line
from ckptfix.report.folding import Group, container, fold_experts, mask_numbers
from ckptfix.report.json_output import indented
from ckptfix.report.layout import Line
from ckptfix.report.outlook import effect_text
from ckptfix.report.sarif_fixes import fix_of
from ckptfix.report.spelling import repair_command, spelled
from ckptfix.rules.finding import Finding, Rule, number_of
from ckptfix.rules.registry import RULES
from ckptfix.runtimes.loads import Answer
from ckptfix.text import visible

_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_FINGERPRINT: Final = "ckptfix/v2"
MOST_MODULES: Final = 100
"""Logical locations of one result; `properties.findings` has the number of all."""
MOST_PLACES: Final = 10
"""Physical locations of one result."""


def check_sarif(report: CheckReport, verbose: bool) -> Iterator[Line]:
    """One run; similar findings are one result, a failed check is a notification."""
    order, documentation = {code: i for i, code in enumerate(RULES)}, _documentation()
    driver: dict[str, Any] = {
        "name": "ckptfix",
        "version": __version__,
        "semanticVersion": __version__,
        "rules": [_rule(rule, documentation) for rule in RULES.values()],
    }
    seen = Counter[str]()
    results = []
    for checked in report.checkpoints:
        found = [
            _result(report, checked, group, order[group.rule.code], seen)
            for group in groups(checked, verbose)
        ]
        results += _with_fix(report, checked, found)
    if documentation:
        driver["informationUri"] = documentation
    run = {
        "tool": {"driver": driver},
        # Code scanning tells runs of the same category apart from others by this.
        "automationDetails": {"id": "ckptfix/check/"},
        "invocations": [_invocation(report)],
        "columnKind": "unicodeCodePoints",
        "results": results,
        "properties": {
            "runtimes": [_loads(c, answer) for c in report.checkpoints for answer in c.runtimes]
        },
    }
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    yield line(indented(log))


def _message(text: str) -> dict[str, str]:
    return {"text": _unbraced(text)}


def _unbraced(text: str) -> str:
    """Braces mark placeholders in a SARIF message (2.1.0, 3.11.5), so ranges get brackets."""
    return text.replace("{", "[").replace("}", "]")


def _documentation() -> str:
    """URL of the documentation from the package metadata; empty if there is none."""
    from importlib.metadata import PackageNotFoundError, metadata  # noqa: PLC0415

    try:
        urls = metadata("ckptfix").get_all("Project-URL") or []
    except PackageNotFoundError:
        return ""
    named = (url.partition(", ") for url in urls)
    return next((url.rstrip("/") for label, _, url in named if label == "Documentation"), "")


def _rule(rule: Rule, documentation: str) -> dict[str, Any]:
    why, fix = spelled(rule.why), spelled(rule.fix)
    made = {
        "id": rule.code,
        "shortDescription": _message(rule.title),
        "fullDescription": _message(why),
        "help": _message(f"{why} Fix: {fix}")
        | {"markdown": _unbraced(f"{why}\n\n**Fix:** {fix}\n")},
        "defaultConfiguration": {"level": rule.severity.value},
        "properties": {"tags": ["quantization"], "fixed-by": repair_command(rule.fixed_by) or ""},
    }
    if documentation:
        made["helpUri"] = f"{documentation}/rules/{rule.code}.md"
    return made


def _invocation(report: CheckReport) -> dict[str, Any]:
    notes = [
        {"level": "error", "message": _message(checked.error)}
        for checked in report.checkpoints
        if checked.error
    ]
    notes += [
        {"level": "note", "message": _message(f"skipped: {one.error}")} for one in report.skipped
    ]
    notes += [
        {"level": "note", "message": _message(f"{visible(checked.name)}: {_not_known(answer)}")}
        for checked in report.checkpoints
        for answer in checked.counted
        if answer.loads is Answer.UNKNOWN
    ]
    return {
        "executionSuccessful": report.exit_code != 2,
        "exitCode": report.exit_code,
        "toolExecutionNotifications": notes,
    }


def _not_known(answer: ReleaseAnswer) -> str:
    return f"not known whether it loads on {answer.target}: {visible(answer.answer.in_short)}"


def _loads(checked: CheckedCheckpoint, answer: ReleaseAnswer) -> dict[str, Any]:
    """The answer of a release, with the names that it has in the JSON."""
    return {
        "checkpoint": visible(checked.name),
        "runtime": answer.runtime,
        "version": answer.version,
        "loads": answer.loads.value,
        "effect": answer.effect.value if answer.effect else None,
        "reason": visible(answer.answer.in_short) or None,
        "counts": answer.counts,
    }


def _result(
    report: CheckReport, checked: CheckedCheckpoint, group: Group, index: int, seen: Counter[str]
) -> dict[str, Any]:
    fingerprint = _fingerprint(report, checked, group, seen)
    return {
        "ruleId": group.rule.code,
        "ruleIndex": index,
        "level": group.rule.severity.value,
        "message": _message(group_text(group)),
        "locations": [_location(report, checked, group)],
        **_related(report, checked, group),
        "partialFingerprints": {
            _FINGERPRINT: fingerprint,
            # Code scanning identifies results by this; without it, it hashes the line, which is
            # meaningless for a checkpoint outside the repository.
            "primaryLocationLineHash": fingerprint,
        },
        "properties": {
            "checkpoint": visible(checked.name),
            "findings": number_of(group.members),
            "releases": list(group.members[0].releases),
        },
    }


def _with_fix(
    report: CheckReport, checked: CheckedCheckpoint, results: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The results, of which the first that the suggested rewrite repairs has its edits.

    They were proved together, so no other result has a part of them.
    """
    advised = checked.advised
    if advised is None or not advised.diff:
        return results
    command = visible(spelled(f"`rewrite({advised.arguments})`", checked.name))
    loading = {str(answer.target) for answer in cured(checked.runtimes, advised.then)}
    codes = {
        finding.code
        for finding in checked.findings
        if loading.intersection(finding.releases)
        or (finding.fixed_by is not None and not (checked.requested and finding.releases))
    }
    for result in results:
        if result["ruleId"] in codes:
            text = f"{command}: {effect_text(checked.runtimes, advised)}"
            fix = fix_of(advised.diff, lambda file: _uri(path_of(report, checked, file)), text)
            result["fixes"] = [fix]
            break
    return results


def _location(report: CheckReport, checked: CheckedCheckpoint, group: Group) -> dict[str, Any]:
    """The first place: code scanning shows no other. The modules are all in it, up to a limit."""
    physical = _physical(report, checked, group.members[0].place)
    named = dict.fromkeys(m for finding in group.members for m in _modules(finding))
    modules = fold_experts(named, group.members[0].banks)
    logical = [
        {"fullyQualifiedName": visible(name), "kind": "module"} for name in modules[:MOST_MODULES]
    ]
    return {"physicalLocation": physical, **({"logicalLocations": logical} if logical else {})}


def _related(report: CheckReport, checked: CheckedCheckpoint, group: Group) -> dict[str, Any]:
    """Further places of the first finding, and the first in each other list of the group."""
    first: dict[str, Place] = {}
    for finding in group.members:
        first.setdefault(container(finding), finding.place)
    places = [(related.note, related.place) for related in group.members[0].related]
    places += [(f"the same in {name}", place) for name, place in list(first.items())[1:]]
    others = [
        {
            "id": number,
            "message": _message(visible(note)),
            "physicalLocation": _physical(report, checked, place),
        }
        for number, (note, place) in enumerate(places[: MOST_PLACES - 1], 1)
    ]
    return {"relatedLocations": others} if others else {}


def _physical(report: CheckReport, checked: CheckedCheckpoint, place: Place) -> dict[str, Any]:
    made: dict[str, Any] = {"artifactLocation": {"uri": _uri(path_of(report, checked, place.file))}}
    if place.line is not None:
        made["region"] = {"startLine": place.line}
    return made


def _modules(finding: Finding) -> tuple[str, ...]:
    return finding.modules or ((finding.place.tensor,) if finding.place.tensor else ())


def _uri(path: PurePath) -> str:
    text = quote(path.as_posix(), errors="surrogateescape")
    return f"file://{text}" if path.is_absolute() else text


def _fingerprint(
    report: CheckReport, checked: CheckedCheckpoint, group: Group, seen: Counter[str]
) -> str:
    """Stable when the line moves, the number of layers changes or a message is reworded.

    Args:
        report: gives the base of paths.
        checked: the checkpoint.
        group: one result.
        seen: number of earlier results with the same code, place and names; updated.
    """
    first = group.members[0]
    names = {mask_numbers(finding.subject) for finding in group.members}
    one = number_of(group.members) == 1
    parts = (
        group.rule.code,
        path_of(report, checked, "").as_posix(),
        *first.releases,
        *((first.subject, str(first.place.pointer)) if one else sorted(names)),
        *sorted({finding.place.file for finding in group.members}),
    )
    same = "\0".join(parts)
    seen[same] += 1
    identity = f"{same}\0{seen[same]}"
    return hashlib.sha256(identity.encode("utf-8", "backslashreplace")).hexdigest()[:32]
