"""Thousands of like findings -> one group with a range of layers."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from ckptfix.rules.finding import Finding, Rule
from ckptfix.text import visible

_NUMBER = re.compile(r"(?<=\.)\d+(?=[.*\s,;]|$)")


def mask_numbers(name: str) -> str:
    """The name with every number that is a whole part of it masked.

    >>> mask_numbers("layers.0.mlp.experts.12.up")
    'layers.*.mlp.experts.*.up'
    """
    return _NUMBER.sub("*", name)


def ranges(numbers: Iterable[int]) -> str:
    """Numbers as ranges.

    >>> ranges([0, 1, 2, 5])
    '0-2,5'
    """
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def fold_names(names: Iterable[str]) -> str:
    """Names that differ in numbers only, as one.

    >>> fold_names(["layers.0.q", "layers.1.q"])
    'layers.{0-1}.q'
    """
    names = list(dict.fromkeys(names))
    columns = list(zip(*(map(int, _NUMBER.findall(name)) for name in names), strict=True))
    parts = _NUMBER.split(names[0])
    folded = [parts[0]]
    for column, part in zip(columns, parts[1:], strict=True):
        text = ranges(column)
        folded += [text if len(set(column)) == 1 else f"{{{text}}}", part]
    return "".join(folded)


def fold_all(names: Iterable[str]) -> list[str]:
    """Any names, folded as far as they differ in numbers only.

    >>> fold_all(["layers.0.q", "layers.0.k", "layers.1.q"])
    ['layers.{0-1}.q', 'layers.0.k']
    """
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(mask_numbers(name), []).append(name)
    return [fold_names(group) for group in alike.values()]


@dataclass(frozen=True)
class Group:
    """Findings that say the same of several modules."""

    rule: Rule
    message: str
    advice: str
    subjects: tuple[tuple[str, str, int], ...]
    """(names folded, names expected instead folded or empty, how many modules or patterns)."""
    places: tuple[tuple[str, int], ...]
    """(file and the list or map in it, how many findings)."""
    members: tuple[Finding, ...]


def fold(findings: Iterable[Finding]) -> list[Group]:
    """Group findings, in the order of the first of each group."""
    groups: dict[tuple[Rule, str, str, tuple[str, ...]], list[Finding]] = {}
    masked = cache(mask_numbers)  # thousands of findings share a message and an advice
    for finding in findings:
        key = (
            finding.rule,
            masked(finding.message),
            masked(finding.advice),
            finding.releases,  # the numbers of a release are not those of layers
        )
        groups.setdefault(key, []).append(finding)
    return [_group(members) for members in groups.values()]


def _group(members: list[Finding]) -> Group:
    alike: dict[str, dict[str, str]] = {}
    for finding in members:
        names = alike.setdefault(mask_numbers(finding.subject), {})
        names[finding.subject] = finding.expected
    return Group(
        members[0].rule,
        fold_names(finding.message for finding in members),
        fold_names(finding.advice for finding in members),
        tuple(
            (
                visible(fold_names(names)),
                visible(fold_names(names.values())) if all(names.values()) else "",
                len(names),
            )
            for names in alike.values()
        ),
        tuple(Counter(container(finding) for finding in members).items()),
        tuple(members),
    )


def container(finding: Finding) -> str:
    """The file, and the list or map in it, that a finding stands in."""
    place = finding.place
    if place.pointer is None:
        return place.file
    pointer = place.pointer
    for field in ("quantized_layers", "targets", "ignore", "exclude_modules", "weight_map"):
        head, found, _ = pointer.partition(f"/{field}/")
        if found:
            return f"{place.file} {head}/{field}"
    return f"{place.file} {pointer}"
