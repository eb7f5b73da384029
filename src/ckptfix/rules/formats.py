"""CKF3xx: the declared quant_algo compared with the stored format."""

from collections.abc import Iterable
from typing import Final

from ckptfix.rules.context import Context
from ckptfix.rules.finding import Family, Finding, Repair, Severity
from ckptfix.rules.reading import Declared, place_of
from ckptfix.text import visible

FAMILY: Final = Family("CKF3", "formats and scales")


@FAMILY.rule(
    "CKF301",
    "tensors fit no known format",
    Severity.ERROR,
    why=(
        "A quantized weight needs its scales, with the dtype and shape of its format. A missing "
        "scale leaves a parameter uninitialised: vLLM 0.33.0 loads an FP8 layer without scales "
        "and answers garbage; a real export had a weight_scale of half the width "
        "(NVIDIA/Model-Optimizer issue 2038)."
    ),
    fix="Export the module again; metadata cannot fix tensors.",
    since="0.1.0",
    blocks_loading=True,
    blocks_verify=True,
    example="""
    model.safetensors
    - layers.0.mlp.up_proj stored as FP8 without weight_scale
    + layers.0.mlp.up_proj stored as FP8
    """,
)
def unrecognized(context: Context) -> Iterable[Finding]:
    """Modules whose tensors contradict each other or lack a companion."""
    for name, stored in context.checkpoint.formats.items():
        if stored.problem:
            yield context.finding(
                subject=name,
                message=stored.problem,
                place=place_of(context.checkpoint, name),
                advice=context.export_again("module"),
                modules=(name,),
            )


@FAMILY.rule(
    "CKF302",
    "listed as quantized but stored unquantized",
    Severity.ERROR,
    why=(
        "The runtime builds a quantized layer and casts the float weight into it, without a "
        "scale. vLLM 0.33.0 loads it without an error and answers garbage. ModelOpt 0.47 lists "
        "convolutions whose quantizers are enabled, but exports them in BF16."
    ),
    fix="Remove the entry, in every file.",
    fixed_by=Repair.CONTENT,
    reads_names=True,
    since="0.1.0",
    refuses_rename=True,
    example="""
    model.safetensors
      layers.0.mixer.conv1d stored as BF16
    config.json /quantization_config
      "quant_algo": "MIXED_PRECISION",
    - "quantized_layers": {"layers.0.mixer.conv1d": {"quant_algo": "FP8"}}
    + "quantized_layers": {}
    """,
)
def listed_but_unquantized(context: Context) -> Iterable[Finding]:
    """Entries that name an unquantized module."""
    for declared, stored in context.declared:
        if declared.by_name and not stored.is_quantized:
            weight = context.checkpoint.modules[declared.module].weight
            found = f"as {weight.dtype}" if weight else "without a weight"
            message = f"is listed as {declared.quant_algo} but stored {found}"
            yield _about(context, declared, message, effect="removes the entry")


@FAMILY.rule(
    "CKF303",
    "declared quant_algo differs from the stored format",
    Severity.ERROR,
    why=(
        "The runtime allocates parameters for the declared algorithm. Listed NVFP4 over FP8 "
        "tensors fails with an IndexError in vLLM 0.33.0; FP8 and BF16 have the same shape, so "
        "that pair loads without an error (vllm-project/vllm issue 47445)."
    ),
    fix="Declare what is stored, in every file.",
    fixed_by=Repair.CONTENT,
    reads_names=True,
    since="0.1.0",
    refuses_rename=True,
    example="""
    model.safetensors
      layers.0.mlp.up_proj stored as FP8
    config.json /quantization_config
      "quant_algo": "MIXED_PRECISION",
    - "quantized_layers": {"layers.0.mlp.up_proj": {"quant_algo": "NVFP4"}}
    + "quantized_layers": {"layers.0.mlp.up_proj": {"quant_algo": "FP8"}}
    """,
)
def declared_otherwise(context: Context) -> Iterable[Finding]:
    """Modules whose tensors refute the declared quant_algo."""
    for declared, stored in context.declared:
        if stored.fits and stored.fit(declared.quant_algo) is None:
            label, other = stored.label(), context.checkpoint.foreign(stored)
            message = f"is declared as {visible(declared.quant_algo)} but stored as {label}"
            if other:
                message += f", which is a format of {other}"
                advice = f"restore the metadata that {other} wrote with these tensors"
                yield _about(context, declared, message, advice=advice)
            else:
                yield _about(context, declared, message, effect=f"declares {label}")


@FAMILY.rule(
    "CKF304",
    "declared group_size differs from the stored one",
    Severity.ERROR,
    why=(
        "The runtime allocates weight_scale according to group_size. vLLM uses the group_size "
        "of the first NVFP4 entry for all layers (vLLM 0.33.0, modelopt.py)."
    ),
    fix="Declare the stored group_size, in every file.",
    fixed_by=Repair.CONTENT,
    reads_names=True,
    since="0.1.0",
    refuses_rename=True,
    example="""
    model.safetensors
      layers.0.mlp.up_proj stored as NVFP4
    hf_quant_config.json /quantization
      "quant_algo": "NVFP4",
    - "group_size": 32
    + "group_size": 16
    """,
)
def group_size_differs(context: Context) -> Iterable[Finding]:
    """Modules whose number of scales contradicts the declared group_size."""
    for declared, stored in context.declared:
        fit = stored.fit(declared.quant_algo)
        if fit is None or not fit.group_size or declared.group_size is None:
            continue
        if fit.group_size != declared.group_size:
            size = fit.group_size
            message = f"is declared with group_size {declared.group_size} but stored with {size}"
            yield _about(context, declared, message, effect=f"declares group_size {size}")


@FAMILY.rule(
    "CKF306",
    "declared as FP8 but stored without input_scale",
    Severity.WARNING,
    why=(
        "FP8 means static activation scales. If the file has no input_scale, vLLM 0.33.0 "
        "silently leaves the parameter at its sentinel value (seen with its own loader on the "
        "lm_head of NVIDIA's Nano-4B recipe). Either the module was not calibrated, or it is "
        "meant to be weight-only."
    ),
    fix="Calibrate and export the module again, or leave it unquantized.",
    reads_names=True,
    since="0.1.0",
    example="""
    model.safetensors
    - lm_head stored as FP8 without input_scale
    + lm_head stored as FP8
    """,
)
def no_input_scale(context: Context) -> Iterable[Finding]:
    """FP8 modules without an activation scale."""
    for declared, stored in context.declared:
        fit = stored.fit(declared.quant_algo) if stored.weight_only else None
        if fit is not None and fit.format.inputs.static:
            message = f"is declared as {fit.quant_algo} but has no input_scale"
            yield _about(context, declared, message, advice="calibrate and export it again")


def _about(
    context: Context,
    declared: Declared,
    message: str,
    *,
    effect: str | None = None,
    advice: str = "",
) -> Finding:
    return context.finding(
        subject=declared.module,
        message=message,
        place=declared.place,
        effect=effect,
        advice=advice,
        modules=(declared.module,),
    )
