"""CKF6xx: draft layers (MTP, NextN), which are rarely quantized with the rest."""

from collections.abc import Iterable
from typing import Final

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.dialects.statements import CONFIG_FILE, MetadataFile, Statement
from ckptfix.checkpoint.draft_layers import draft_root
from ckptfix.checkpoint.expert_banks import EXPERTS
from ckptfix.place import Place
from ckptfix.rules.context import Context
from ckptfix.rules.finding import Family, Finding, Repair, Severity
from ckptfix.runtimes.drafts import never_looked_up
from ckptfix.text import visible

FAMILY: Final = Family("CKF6", "draft layers")


@FAMILY.rule(
    "CKF601",
    "unquantized draft layer is not excluded",
    Severity.ERROR,
    why=(
        "The draft model is built with the metadata of the whole checkpoint. "
        "nvidia/Qwen3.5-397B-A17B-NVFP4 stores all of MTP in BF16 but only excludes "
        "mtp.layers.0*, so mtp.fc is built as NVFP4: AssertionError (vllm-project/vllm issue "
        "38832). amd/GLM-5.1-NVFP4 does not exclude its draft layer at all (issues 49187, 49275)."
    ),
    fix="Exclude the whole subtree; `rewrite(from_tensors=True)` does so.",
    fixed_by=Repair.CONTENT,
    reads_names=True,
    since="0.1.0",
    example="""
    model.safetensors
      mtp.fc stored as BF16
      mtp.layers.0.mlp.up_proj stored as BF16
    config.json /quantization_config
      "quant_algo": "NVFP4",
    - "ignore": ["mtp.layers.0*"]
    + "ignore": ["mtp*"]
    """,
)
def draft_not_excluded(context: Context) -> Iterable[Finding]:
    """Unquantized draft modules that a uniform file does not exclude."""
    checkpoint = context.checkpoint
    for metadata in checkpoint.metadata:
        if metadata.quant_algo is None or metadata.is_mixed:
            continue
        covered = context.excluded(metadata)
        for name, weight in checkpoint.unquantized_linears.items():
            root = draft_root(checkpoint, name)
            if root is None or name in covered:
                continue
            if name not in never_looked_up(checkpoint):
                advice, effect = _repair(checkpoint, metadata, root)
                yield context.finding(
                    subject=name,
                    message=f"is stored as {weight.dtype} but no pattern excludes it from "
                    f"{metadata.quant_algo}",
                    place=metadata.place,
                    advice=advice,
                    effect=effect,
                    modules=(name,),
                    depends_on_experts=any(EXPERTS in s.name for s in _narrower(metadata, root)),
                )


def _repair(checkpoint: Checkpoint, metadata: MetadataFile, root: str) -> tuple[str, str | None]:
    """Advice, and the effect of a rewrite."""
    narrow = _narrower(metadata, root)
    quantized = any(
        stored.is_quantized and name.startswith(root + ".")
        for name, stored in checkpoint.formats.items()
    )
    if quantized:
        return "", ""
    if narrow:
        return f"widen {visible(narrow[0].name)} to {visible(root)}*", None
    return "", f"excludes {visible(root)}*"


def _narrower(metadata: MetadataFile, root: str) -> list[Statement]:
    """Patterns over parts of a draft layer."""
    return [s for s in metadata.excludes if s.name.startswith(root + ".")]


@FAMILY.rule(
    "CKF602",
    "config.json declares draft layers but their tensors are missing",
    Severity.WARNING,
    why=(
        "config.json declares the number of draft layers. Without their tensors, speculative "
        "decoding stops or runs on uninitialised memory with an acceptance rate of 0.0 "
        "(vllm-project/vllm issue 35548); serving without it is not affected. Some exports left "
        "mtp.safetensors behind (NVIDIA/Model-Optimizer issue 750)."
    ),
    fix="Copy the draft tensors from the original checkpoint, or serve without a draft model.",
    since="0.1.0",
    example="""
    config.json
      "num_nextn_predict_layers": 1
    model.safetensors
      layers.0.mlp.up_proj stored as FP8
    + mtp.fc stored as BF16
    """,
)
def draft_absent(context: Context) -> Iterable[Finding]:
    """A declared number of draft layers without any module in them."""
    checkpoint = context.checkpoint
    declared = checkpoint.config.draft_layers
    if declared is None or declared.number < 1:
        return
    if not any(draft_root(checkpoint, name) for name in checkpoint.modules):
        yield context.finding(
            subject=declared.pointer.rpartition("/")[2],
            message=f"declares {declared.number} draft layers, but the shard files contain none",
            place=Place(CONFIG_FILE, declared.pointer),
            advice="copy the draft tensors from the original checkpoint, or serve without a "
            "draft model",
        )
