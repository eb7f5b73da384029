"""`check --online`, as text and as JSON."""

from collections.abc import Iterator, Sequence
from typing import Final

from ckptfix import __version__
from ckptfix.report.console import count, line
from ckptfix.report.json_output import indented
from ckptfix.report.layout import Line
from ckptfix.runtimes.online import OnlineAnswer
from ckptfix.text import visible

SCHEMA: Final = 1
"""Changes when a field changes its meaning or goes away."""


def online_lines(name: str, method: str, answers: Sequence[OnlineAnswer]) -> Iterator[Line]:
    """What each release does, and every module that it does not simply quantize."""
    yield line((visible(name), "bold"), f" with --quantization {visible(method)}")
    for answer in answers:
        yield line((str(answer.target), "bold"), f"  {_in_short(answer)}")
        grouped: dict[tuple[str, str], list[str]] = {}
        for module in answer.modules:
            if module.why:
                label = module.name or module.members[0]
                grouped.setdefault((module.becomes, module.why), []).append(label)
        for (becomes, why), names in grouped.items():
            style = "red" if becomes == "stops" else ""
            yield line("  ", (f"{becomes}: ", style), visible(why))
            shown = ", ".join(map(visible, names[:3]))
            more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
            yield line(f"    {shown}{more}")


def _in_short(answer: OnlineAnswer) -> str:
    if answer.stops:
        return f"stops: {answer.stops}"
    if answer.unknown:
        return f"unknown, {answer.unknown}"
    number = sum(module.becomes == "quantized" for module in answer.modules)
    return f"quantizes {number:,} of {count(len(answer.modules), 'module')}"


def online_json(name: str, method: str, answers: Sequence[OnlineAnswer]) -> Iterator[Line]:
    """The report of `check --online METHOD --json`."""
    releases = [
        {
            "release": str(answer.target),
            "works": answer.works,
            "stops": answer.stops,
            "unknown": answer.unknown,
            "modules": list(answer.modules),
        }
        for answer in answers
    ]
    made = {
        "schema": SCHEMA,
        "ckptfix": __version__,
        "checkpoint": name,
        "method": method,
        "releases": releases,
    }
    yield line(indented(made))
