"""`check --format html`: one self-contained page.

It needs jinja2, the extra `html`; every text of a checkpoint is escaped by it. Without it this file
cannot be imported, so that a user learns about it before the work.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Final

from msgspec import Struct

from ckptfix import __version__
from ckptfix.errors import CkptfixError
from ckptfix.operations.checked import CheckedCheckpoint, ReleaseAnswer
from ckptfix.operations.layer_map import SEVERAL, Legend
from ckptfix.report.check_groups import groups
from ckptfix.report.check_report import CheckReport
from ckptfix.report.check_text import fates
from ckptfix.report.commands import ELSEWHERE
from ckptfix.report.console import line
from ckptfix.report.folding import Group
from ckptfix.report.layers_picture import (
    CELL,
    ROW,
    Built,
    Picture,
    Words,
    built_otherwise,
    colours,
    pictures,
)
from ckptfix.report.layout import Line
from ckptfix.report.outlook import effect_text
from ckptfix.report.releases import release_range, runs_of_releases
from ckptfix.report.spelling import spelled
from ckptfix.runtimes.targets import Target
from ckptfix.text import visible, without_controls

try:
    from jinja2 import Environment, StrictUndefined, Template
except ImportError as missing:
    raise CkptfixError(
        "--format html needs jinja2, which is not installed",
        advice="pip install jinja2, or install 'ckptfix[html]'",
    ) from missing

MOST_SUBJECTS: Final = 12
"""Groups of names spelled out under one finding."""
MOST_BUILT: Final = 12
"""Reasons why modules are built differently, for one checkpoint."""
_DIFF_LINES: Final = 4_000
"""Maximum number of patch lines on a page, shared by its checkpoints."""


class Cell(Struct, frozen=True):
    """The answers of the releases of one column for one checkpoint."""

    answer: str
    """`yes`, `no`, `unknown`, or empty if it was not checked."""
    title: str


class Section(Struct, frozen=True):
    """One checkpoint."""

    anchor: str
    name: str
    error: str
    passes: bool
    cells: tuple[Cell, ...]
    answers: tuple[tuple[str, str, str], ...]
    """(releases, `yes`, `no` or `unknown`, the answer in words)."""
    legend: tuple[tuple[Legend, str], ...]
    """Each format, and its class."""
    several: bool
    """The legend needs the letter for several formats."""
    pictures: tuple[Picture, ...]
    hidden_pictures: int
    built: tuple[Built, ...]
    hidden_built: int
    groups: tuple[Group, ...]
    command: str
    """The rewrite to run; empty if none helps."""
    effect: str
    diff: tuple[str, ...]
    hidden_diff: int


def check_html(report: CheckReport, verbose: bool) -> Iterator[Line]:
    """The page."""
    columns = _columns(report)
    colour = colours(c.layers for c in report.checkpoints if c.layers is not None)
    most = max(20, min(400, _DIFF_LINES // max(1, len(report.checkpoints))))
    sections = [
        _section(report, checked, f"c{number}", columns, colour, most=most, verbose=verbose)
        for number, checked in enumerate(report.checkpoints, 1)
    ]
    page = _template().render(
        version=__version__,
        columns=[release_range(releases) for releases in columns],
        sections=sections,
        fates=fates(report),
        number=len(report.checkpoints) + len(report.skipped),
        skipped=[visible(one.error) for one in report.skipped],
        cell=CELL,
        row=ROW,
        most_subjects=MOST_SUBJECTS,
        several=SEVERAL,
    )
    yield from map(line, page.splitlines())


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    text = (files("ckptfix.report") / "templates" / "check.html.j2").read_text(encoding="utf-8")
    return environment.from_string(text)


def _columns(report: CheckReport) -> list[list[Target]]:
    """Neighbouring releases with the same answers for every checkpoint, as one column."""
    fares: dict[Target, list[str]] = {}
    for number, checked in enumerate(report.checkpoints):
        for answer in checked.runtimes:
            row = fares.setdefault(answer.target, [""] * len(report.checkpoints))
            row[number] = answer.loads.value
    states = ((target, tuple(row)) for target, row in fares.items())
    return [releases for releases, _ in runs_of_releases(states)]


def _section(
    report: CheckReport,
    checked: CheckedCheckpoint,
    anchor: str,
    columns: list[list[Target]],
    colour: Mapping[str, str],
    *,
    most: int,
    verbose: bool,
) -> Section:
    layers, advised = checked.layers, checked.advised
    words = Words(layers.banks if layers else None, tuple(a.target for a in checked.runtimes))
    drawn, hidden = pictures(layers, colour, words) if layers else ((), 0)
    built = built_otherwise(layers, words) if layers else ()
    diff = advised.diff.removesuffix("\n").split("\n") if advised and advised.diff else []
    elsewhere = () if checked.kind == "directory" else ELSEWHERE
    return Section(
        anchor,
        visible(checked.name),
        visible(checked.error),
        report.passes(checked),
        tuple(_cell(checked, releases) for releases in columns),
        tuple(_answers(checked.runtimes)),
        tuple((entry, colour[entry.format]) for entry in layers.legend) if layers else (),
        any(SEVERAL in row.letters for picture in drawn for row in picture.rows),
        drawn,
        hidden,
        built[:MOST_BUILT],
        len(built) - len(built[:MOST_BUILT]),
        tuple(groups(checked, verbose)),
        spelled(f"`rewrite({advised.arguments})`", checked.name, *elsewhere) if advised else "",
        effect_text(checked.runtimes, advised) if advised else "",
        tuple(map(without_controls, diff[:most])),
        len(diff) - len(diff[:most]),
    )


def _cell(checked: CheckedCheckpoint, releases: list[Target]) -> Cell:
    answers = [answer for answer in checked.runtimes if answer.target in releases]
    if not answers:
        return Cell("", "")
    texts = (f"{releases}: {text}" for releases, _, text in _answers(answers))
    return Cell(answers[0].loads.value, "; ".join(texts))


def _answers(answers: Iterable[ReleaseAnswer]) -> Iterator[tuple[str, str, str]]:
    states = ((a.target, (a.loads.value, visible(str(a.answer)))) for a in answers)
    for releases, (loads, text) in runs_of_releases(states):
        yield release_range(releases), loads, text
