"""Thousands of similar findings -> one group with a range of layers."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Final

from msgspec import Struct

from ckptfix.checkpoint.dialects.registry import NAME_FIELDS
from ckptfix.checkpoint.expert_banks import EXPERTS, Banks
from ckptfix.operations.checked import CheckedCheckpoint
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


def fold_names(names: Iterable[str], experts: int = 1) -> str:
    """Names that differ only in numbers, as one.

    Args:
        names: with numbers in the same places.
        experts: number of experts that expert 0 represents.

    >>> fold_names(["layers.0.q", "layers.1.q"])
    'layers.{0-1}.q'
    >>> fold_names(["layers.1.experts.0.up"], 128)
    'layers.1.experts.{0-127}.up'
    """
    names = list(dict.fromkeys(names))
    columns = list(zip(*(map(int, _NUMBER.findall(name)) for name in names), strict=True))
    parts = _NUMBER.split(names[0])
    folded = [parts[0]]
    for column, before, part in zip(columns, parts, parts[1:], strict=False):
        numbers = set(column)
        if experts > 1 and before.endswith(EXPERTS) and 0 in numbers:
            numbers.update(range(experts))
        text = ranges(numbers)
        folded += [text if len(numbers) == 1 else f"{{{text}}}", part]
    return "".join(folded)


def fold_all(names: Iterable[str], banks: Banks | None = None) -> list[str]:
    """All names; those that differ only in numbers are folded.

    Args:
        names: of any kind.
        banks: those whose expert 0 represents all experts.

    >>> fold_all(["layers.0.q", "layers.0.k", "layers.1.q"])
    ['layers.{0-1}.q', 'layers.0.k']
    """
    similar: dict[str, list[str]] = {}
    for name in names:
        similar.setdefault(mask_numbers(name), []).append(name)
    return [fold_names(group, _experts(group, banks)) for group in similar.values()]


def _experts(names: Iterable[str], banks: Banks | None) -> int:
    """How many experts expert 0 represents in names that differ only in numbers."""
    return 1 if banks is None else max(map(banks.number, names))


_EXPERT = re.compile(r"(?<=\.experts\.)\d+(?=[.*\s,;]|$)")


def mask_expert(name: str) -> str:
    """The name with the number of an expert masked.

    >>> mask_expert("layers.0.mlp.experts.12.up")
    'layers.0.mlp.experts.*.up'
    """
    return _EXPERT.sub("*", name)


def fold_experts(names: Iterable[str], banks: Banks | None = None) -> list[str]:
    """Names, the experts of each bank folded.

    >>> fold_experts(["layers.0.experts.0.up", "layers.0.experts.1.up", "layers.1.q"])
    ['layers.0.experts.{0-1}.up', 'layers.1.q']
    """
    similar: dict[str, list[str]] = {}
    for name in names:
        similar.setdefault(mask_expert(name), []).append(name)
    return [fold_names(group, _experts(group, banks)) for group in similar.values()]


class Group(Struct, frozen=True):
    """Identical findings on several modules."""

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
    similar: dict[str, dict[str, str]] = {}
    for finding in members:
        names = similar.setdefault(mask_numbers(finding.subject), {})
        names[finding.subject] = finding.expected
    banks = members[0].banks
    experts = max(finding.experts for finding in members)
    places = Counter[str]()
    for finding in members:
        places[container(finding)] += finding.count
    return Group(
        members[0].rule,
        fold_names((finding.message for finding in members), experts),
        fold_names((finding.advice for finding in members), experts),
        tuple(_subject(names, banks) for names in similar.values()),
        tuple(places.items()),
        tuple(members),
    )


def _subject(names: Mapping[str, str], banks: Banks | None) -> tuple[str, str, int]:
    """Names that differ only in numbers, and the expected name for each."""
    experts = _experts(names, banks)
    expected = fold_names(names.values(), experts) if all(names.values()) else ""
    number = len(names) if banks is None else sum(map(banks.number, names))
    return visible(fold_names(names, experts)), visible(expected), number


def container(finding: Finding) -> str:
    """The file of a finding, and the list or map in it."""
    place = finding.place
    if not place.pointer:
        return place.file
    pointer = place.pointer
    for field in (*NAME_FIELDS, "weight_map"):
        head, found, _ = pointer.partition(f"/{field}/")
        if found:
            return f"{place.file} {head}/{field}"
    return f"{place.file} {pointer}"


MOST_FINDINGS: Final = 1_000
"""Beyond this number, findings are also folded by layer number."""


def like_as_one(checked: CheckedCheckpoint) -> list[Finding]:
    """The findings; similar ones are merged, with a count and the first of their places.

    Findings are similar if they differ only in the number of an expert or, if there are many, in
    any numbers.
    """
    made = _like(checked.findings, mask_expert, partial(fold_experts, banks=checked.banks))
    if len(made) <= MOST_FINDINGS:
        return made
    return _like(checked.findings, mask_numbers, partial(fold_all, banks=checked.banks))


def _like(
    findings: Iterable[Finding], mask: Callable[[str], str], names: Callable[..., list[str]]
) -> list[Finding]:
    masked = cache(mask)
    groups: dict[tuple[object, ...], list[Finding]] = {}
    for f in findings:
        texts = (masked(text) for text in (f.subject, f.message, f.advice, f.expected))
        tensor = masked(f.place.tensor or "")
        key = f.rule, f.fixed_by, f.releases, container(f), tensor, *texts
        groups.setdefault(key, []).append(f)
    return [_as_one(group, names) for group in groups.values()]


def _as_one(group: Sequence[Finding], names: Callable[..., list[str]]) -> Finding:
    first = group[0]
    if len(group) == 1 and first.experts == 1:
        return replace(first, modules=tuple(names(first.modules)))
    experts = max(f.experts for f in group)
    return replace(
        first,
        subject=fold_names((f.subject for f in group), experts),
        message=fold_names((f.message for f in group), experts),
        advice=fold_names((f.advice for f in group), experts),
        expected=fold_names((f.expected for f in group), experts),
        modules=tuple(names(dict.fromkeys(m for f in group for m in f.modules))),
        count=sum(f.count for f in group),
        banks=None,
    )
