"""`verify --json`: docs/verify.schema.json is generated from the types."""

from collections.abc import Iterator
from math import isfinite
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from ckptfix import __version__
from ckptfix.operations.checked import answers_of
from ckptfix.report.check_json import (
    FindingObject,
    ReleaseObject,
    finding_object,
    json_schema,
    release_object,
)
from ckptfix.report.console import line
from ckptfix.report.json_output import indented
from ckptfix.report.layout import Line
from ckptfix.verifying.outcome import GemmResult, VerifyReport

SCHEMA: Final = 1
"""Changes when a field changes its meaning or goes away; a new field leaves it as it is."""


class GemmObject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Checkpoint modules that a runtime multiplies with one input."""

    name: Annotated[str, Meta(description="Runtime name; with the index for an expert.")]
    module: Annotated[str, Meta(description="Runtime module that contains it.")]
    kind: str
    members: Annotated[list[str], Meta(description="Checkpoint modules, in packed order.")]
    quant_algo: str
    shape: Annotated[list[int], Meta(description="[out, in] of all members together.")]
    how: Annotated[
        Literal["native", "emulated", "failed", "measured"],
        Meta(description="measured: values were checked but no GEMM was run."),
    ]
    kernel: str | None
    reason: Annotated[str | None, Meta(description="Why it is emulated, failed or not run.")]
    error: Annotated[
        float | None,
        Meta(description="Relative error compared with the F32 reference; null if not finite."),
    ]
    requantized_error: Annotated[
        float | None, Meta(description="Relative error that fusing the members adds to the weight.")
    ]
    bytes: int
    seconds: Annotated[float, Meta(description="Time of the GEMM alone.")]


class VerifyObject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The report of one run; a field is there even where it is null."""

    schema: Literal[1]
    ckptfix: Annotated[str, Meta(description="Version of ckptfix.")]
    checkpoint: Annotated[str, Meta(description="As the user named it.")]
    exit_code: Annotated[
        int,
        Meta(description="0; 1 if a module fails; 2 if none could be decoded; 130 if interrupted."),
    ]
    interrupted: bool
    device: str
    torch: str
    ranks: int
    joined_as: Annotated[str, Meta(description="Runtime whose way of fusing modules was used.")]
    tokens: int
    planned: Annotated[int, Meta(description="Number of planned GEMMs.")]
    bytes: Annotated[int, Meta(description="Bytes read.")]
    seconds: float
    compared_with_source: Annotated[int, Meta(description="Number of modules.")]
    gemms: list[GemmObject]
    findings: list[FindingObject]
    runtimes: list[ReleaseObject]
    not_compared_with_source: Annotated[
        dict[str, str], Meta(description="With --source: module -> why it was not compared.")
    ] = {}


def verify_json(report: VerifyReport) -> Iterator[Line]:
    """Everything."""
    made = VerifyObject(
        SCHEMA,
        __version__,
        report.checkpoint,
        report.exit_code,
        report.interrupted,
        report.device,
        report.torch,
        report.ranks,
        report.joined_as,
        report.tokens,
        report.planned,
        report.nbytes,
        report.seconds,
        report.sources,
        [_gemm(result) for result in report.results],
        [finding_object(finding) for finding in report.findings],
        [
            release_object(answer)
            for answer in answers_of(
                report.verdicts, [v.target for v in report.verdicts], report.findings
            )
        ],
        dict(report.not_compared),
    )
    yield line(indented(made))


def verify_schema() -> str:
    """The JSON Schema of the report."""
    return json_schema(VerifyObject)


def _gemm(result: GemmResult) -> GemmObject:
    planned = result.planned
    return GemmObject(
        planned.name,
        planned.module,
        planned.kind,
        list(planned.members),
        planned.quant_algo,
        list(planned.shape),
        result.how,
        result.kernel or None,
        result.reason or None,
        _finite(result.error),
        _finite(result.requantized_error),
        planned.nbytes,
        result.seconds,
    )


def _finite(number: float | None) -> float | None:
    return number if number is not None and isfinite(number) else None
