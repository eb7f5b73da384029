"""The lines of what was found in JSON files."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from ckptfix.jsontext.lines import lines_of
from ckptfix.jsontext.text import JsonText
from ckptfix.place import Place
from ckptfix.rules.finding import Finding


def with_lines(findings: Iterable[Finding], documents: Mapping[str, JsonText]) -> Iterator[Finding]:
    """The findings, each with the lines of its places in the documents."""
    findings = tuple(findings)
    pointers: dict[str, list[str]] = {file: [] for file in documents}
    for place in (p for f in findings for p in (f.place, *(r.place for r in f.related))):
        if place.file in pointers and place.pointer is not None:
            pointers[place.file].append(place.pointer)
    lines = {file: lines_of(documents[file], named) for file, named in pointers.items() if named}

    def with_line(place: Place) -> Place:
        if place.file not in lines or place.pointer is None:
            return place
        return replace(place, line=lines[place.file].get(place.pointer))

    for finding in findings:
        place, related = with_line(finding.place), finding.related
        if related:
            related = tuple(replace(r, place=with_line(r.place)) for r in related)
        elif place is finding.place:
            yield finding  # there may be a million
            continue
        yield replace(finding, place=place, related=related)
