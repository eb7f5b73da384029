"""CKF308: names of experts that runtimes cannot parse."""

import re
from collections.abc import Iterable
from typing import Final

from ckptfix.rules.context import Context
from ckptfix.rules.finding import Family, Finding, Repair, Severity
from ckptfix.rules.reading import place_of

FAMILY: Final = Family("CKF3", "formats and scales")

_EXPERT_LAST: Final = re.compile(r"(.*\.experts)\.([a-z_]+_proj|w[123])\.(\d+)")


@FAMILY.rule(
    "CKF308",
    "expert index comes after the projection name",
    Severity.ERROR,
    why=(
        "Runtimes look for experts.42.gate_proj. ModelOpt 0.43 wrote experts.gate_proj.42 for "
        "Qwen3-VL-MoE, so the scales are dropped or loading stops with an IndexError "
        "(vllm-project/vllm issues 40885, 42800)."
    ),
    fix="`rewrite(tensors=True)` moves the index in front of the projection; or export again "
    "with ModelOpt 0.44 or later. The tensor names are wrong, not the metadata.",
    fixed_by=Repair.TENSORS,
    since="0.1.0",
    blocks_loading=True,
    example="""
    model.safetensors
    - layers.0.mlp.experts.gate_proj.0 stored as NVFP4
    + layers.0.mlp.experts.0.gate_proj stored as NVFP4
    """,
)
def expert_behind_projection(context: Context) -> Iterable[Finding]:
    """Modules named `experts.gate_proj.42`."""
    for name in context.checkpoint.modules:
        if found := _EXPERT_LAST.fullmatch(name):
            yield context.finding(
                subject=name,
                message="puts the projection before the expert index, so runtimes do not find "
                "the tensors",
                place=place_of(context.checkpoint, name),
                effect="renames them, or export again with a later ModelOpt",
                modules=(name,),
                expected=f"{found[1]}.{found[3]}.{found[2]}",
            )
