"""CKF2xx: which modules the metadata covers, compared with how they are stored."""

from collections.abc import Iterable
from typing import Final

from ckptfix.checkpoint.dialects.statements import CONFIG_FILE, MetadataFile
from ckptfix.checkpoint.draft_layers import draft_root
from ckptfix.checkpoint.expert_banks import EXPERTS
from ckptfix.place import Place
from ckptfix.rules.context import Context
from ckptfix.rules.finding import Family, Finding, Repair, Severity
from ckptfix.rules.names import is_corrupt
from ckptfix.runtimes.registry import read_by_runtimes
from ckptfix.text import visible

FAMILY: Final = Family("CKF2", "coverage")


def decides(metadata: MetadataFile) -> bool:
    """True when this file alone declares how modules are quantized.

    config.json of ModelOpt 0.31 to 0.42 declares MIXED_PRECISION and leaves the map to
    hf_quant_config.json; a mixed file without a map decides nothing.
    """
    return not metadata.is_mixed or bool(metadata.of_kind("entry"))


@FAMILY.rule(
    "CKF201",
    "quantized module is not listed in the metadata",
    Severity.ERROR,
    why=(
        "With MIXED_PRECISION, a module that quantized_layers does not list is built "
        "unquantized. Then either its packed weight does not fit, or its FP8 bytes are cast "
        "without their scale and the server answers garbage without an error (vLLM 0.33.0)."
    ),
    fix="Add the module to quantized_layers with its stored format; never exclude it.",
    fixed_by=Repair.CONTENT,
    reads_names=True,
    since="0.1.0",
    example="""
    model.safetensors
      layers.0.mlp.up_proj stored as FP8
      layers.0.mlp.down_proj stored as FP8
    config.json /quantization_config
      "quant_algo": "MIXED_PRECISION",
      "quantized_layers": {
    +   "layers.0.mlp.up_proj": {"quant_algo": "FP8"},
        "layers.0.mlp.down_proj": {"quant_algo": "FP8"}
      }
    """,
)
def named_nowhere(context: Context) -> Iterable[Finding]:
    """Quantized modules that a per-layer file does not list."""
    formats, left_alone = context.checkpoint.formats, context.checkpoint.left_alone
    for metadata in context.checkpoint.metadata:
        if not decides(metadata) or (metadata.quant_algo and not metadata.is_mixed):
            continue
        if not metadata.is_read:
            continue  # what it declares is not known
        if any(is_corrupt(s.name) for s in metadata.of_kind("entry")):
            continue  # CKF108 names the cause; every module would follow from it
        covered = context.entries(metadata)
        for module, stored in formats.items():
            if stored.is_quantized and module not in covered and module not in left_alone:
                yield context.finding(
                    subject=module,
                    message=f"is stored as {stored.label()} but {metadata.entries_field} does not "
                    "list it",
                    place=metadata.place,
                    effect=f"adds it as {stored.label()}",
                    modules=(module,),
                )


@FAMILY.rule(
    "CKF205",
    "excluded module is stored quantized",
    Severity.ERROR,
    why=(
        "An excluded module is built unquantized, even if quantized_layers lists it. "
        "nvidia/Qwen3.6-35B-A3B-NVFP4 excluded lm_head* and stored lm_head.weight_scale: vLLM "
        "0.22 has no parameter for it (vllm-project/vllm issues 44081, 45102)."
    ),
    fix="Narrow or remove the pattern.",
    fixed_by=Repair.CONTENT,
    reads_names=True,
    since="0.1.0",
    example="""
    model.safetensors
      lm_head stored as FP8
    config.json /quantization_config
      "quant_algo": "FP8",
    - "ignore": ["lm_head*"]
    + "ignore": []
    """,
)
def excluded_but_quantized(context: Context) -> Iterable[Finding]:
    """Patterns that cover quantized modules."""
    formats, left_alone = context.checkpoint.formats, context.checkpoint.left_alone
    for metadata in context.checkpoint.metadata:
        for module, index in context.excluded(metadata).items():
            stored = formats[module]
            if stored.is_quantized and module not in left_alone:
                statement = metadata.statements[index]
                yield context.finding(
                    subject=module,
                    message=f"is stored as {stored.label(metadata.quant_algo)} but "
                    f"{visible(statement.name)} excludes it",
                    place=statement.place,
                    effect="narrows the pattern",
                    modules=(module,),
                )


@FAMILY.rule(
    "CKF206",
    "unquantized module is not excluded",
    Severity.WARNING,
    why=(
        "When one algorithm applies to the whole checkpoint, every linear layer that a runtime "
        "looks up and no pattern excludes is built quantized: Tried to load weights of size "
        "[E, H] to a parameter of size [E, H/2] (NVIDIA/Model-Optimizer pull request 1858). "
        "Modules that no known release looks up, routers for example, do not need a pattern."
    ),
    fix="Add the module to ignore and exclude_modules.",
    fixed_by=Repair.CONTENT,
    reads_names=True,
    since="0.1.0",
    example="""
    model.safetensors
      layers.0.self_attn.o_proj stored as BF16
    config.json /quantization_config
      "quant_algo": "FP8",
    - "ignore": []
    + "ignore": ["layers.0.self_attn.o_proj"]
    """,
)
def unquantized_not_excluded(context: Context) -> Iterable[Finding]:
    """2-D float weights that a uniform file does not exclude and that some release looks up."""
    for metadata in context.checkpoint.metadata:
        if metadata.quant_algo is None or metadata.is_mixed:
            continue
        covered = context.excluded(metadata)
        for name, weight in context.checkpoint.unquantized_linears.items():
            if name in covered or draft_root(context.checkpoint, name) is not None:
                continue
            if context.concerns_a_runtime(name):
                yield context.finding(
                    subject=name,
                    message=f"is stored as {weight.dtype} but no pattern excludes it from "
                    f"{metadata.quant_algo}",
                    place=metadata.place,
                    effect=f"adds it to {metadata.exclude_list[-1]}",
                    modules=(name,),
                )


@FAMILY.rule(
    "CKF207",
    "per-layer map is missing from every file the runtimes read",
    Severity.ERROR,
    why=(
        "vLLM and SGLang read config.json and hf_quant_config.json. ModelOpt 0.23 and 0.25 wrote "
        "the map of a mixed checkpoint to quant_cfg.json only; vLLM 0.33.0 then stops with "
        "'MIXED_PRECISION quant_algo requires a non-empty quantized_layers mapping'."
    ),
    fix="Copy quantized_layers into hf_quant_config.json, or export with ModelOpt 0.27 or later.",
    fixed_by=Repair.CONTENT,
    reads_names=True,
    since="0.1.0",
    example="""
    model.safetensors
      layers.0.mlp.up_proj stored as FP8
    hf_quant_config.json /quantization
    + "quantized_layers": {"layers.0.mlp.up_proj": {"quant_algo": "FP8"}},
      "quant_algo": "MIXED_PRECISION"
    """,
)
def no_layer_map(context: Context) -> Iterable[Finding]:
    """Mixed checkpoints whose map is in no file that a runtime reads."""
    checkpoint = context.checkpoint
    read = read_by_runtimes(checkpoint.metadata)
    quantized = tuple(name for name, stored in checkpoint.formats.items() if stored.is_quantized)
    if not quantized or any(decides(m) for m in read):
        return
    place = read[0].place if read else Place(CONFIG_FILE)
    unread = [m.file for m in checkpoint.metadata if m not in read]
    if unread:
        message = f"lists its layers only in {unread[0]}, which vLLM and SGLang do not read"
    else:
        message = "does not list the quantized layers"
    covered = {name for m in read for name in context.excluded(m)}
    left = [n for n in checkpoint.unquantized_linears if n not in covered]
    if left:
        shown = ", ".join(visible(name) for name in left[:4]) + (", ..." if len(left) > 4 else "")
        message += f"; unquantized but not excluded: {shown}"
    yield context.finding(
        subject=place.file,
        message=message,
        place=place,
        effect="creates the map",
        modules=quantized,
        depends_on_experts=any(EXPERTS in name for name in left),
    )
