"""CKF1xx: names in the metadata compared with names of the tensors."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.dialects.statements import Statement
from ckptfix.checkpoint.draft_layers import draft_root
from ckptfix.checkpoint.expert_banks import EXPERTS
from ckptfix.names import is_class_name
from ckptfix.rules.context import Context
from ckptfix.rules.finding import Family, Finding, Repair, Severity
from ckptfix.runtimes.name_maps import damage_map
from ckptfix.runtimes.naming import Reading
from ckptfix.text import visible

FAMILY: Final = Family("CKF1", "names")

_WILDCARD: Final = re.compile(r"[*?\[]")


def statements(context: Context) -> Iterator[Statement]:
    """Every statement that names modules, in all files."""
    for metadata in context.checkpoint.metadata:
        for statement in metadata.statements:
            if not (statement.kind == "target" and is_class_name(statement.name)):
                yield statement


def abbreviates(context: Context, statement: Statement) -> bool:
    """True for a plain pattern that is only part of some name, not a module or a parent."""
    if statement.kind != "exclude" or _WILDCARD.search(statement.name):
        return False
    if context.naming.read_pattern(statement.name).spelling is not None:
        return False
    return bool(context.naming.checkpoint_names.containing(statement.name))


def is_corrupt(name: str) -> bool:
    """True for a name that is not valid for any module."""
    return not name.isprintable()


def read(context: Context, statement: Statement) -> Reading:
    """The modules that the name of a statement matches."""
    if statement.kind == "exclude":
        return context.naming.read_pattern(statement.name)
    return context.naming.read_name(statement.name)


@FAMILY.rule(
    "CKF101",
    "module name uses the checkpoint spelling, but the runtime looks up a different one",
    Severity.ERROR,
    why=(
        "The runtime builds its modules under its own names and looks those up. vLLM 0.17.1 "
        "looks up language_model.model.layers.0.mixer.in_proj, but Nemotron Nano VL lists "
        "language_model.backbone.layers.0.mixer.in_proj. The layer is built unquantized, and "
        "loading fails at its scales (vllm-project/vllm PR 39901)."
    ),
    fix="`rewrite()` renames the entry in every file.",
    fixed_by=Repair.NAMES,
    reads_names=True,
    since="0.1.0",
    example="""
    config.json
      "architectures": ["NemotronH_Nano_VL_V2"]
    model.safetensors
      language_model.backbone.layers.0.mixer.in_proj stored as FP8
    config.json /quantization_config
      "quant_algo": "MIXED_PRECISION",
      "quantized_layers": {
    -   "language_model.backbone.layers.0.mixer.in_proj": {"quant_algo": "FP8"}
    +   "language_model.model.layers.0.mixer.in_proj": {"quant_algo": "FP8"}
      }
    """,
)
def checkpoint_spelling(context: Context) -> Iterable[Finding]:
    """Old spellings, if some release needs the new one according to the name map."""
    if not context.naming.name_map.required:
        return
    needed_by = " and ".join(f"{n.runtime}{n.versions}" for n in context.naming.name_map.needed_by)
    look = f"{needed_by} look" if needed_by else "the name map looks"
    stated = {(s.file, s.path[:-1], s.name) for s in statements(context)}
    for statement in statements(context):
        if is_corrupt(statement.name):
            continue
        reading = read(context, statement)
        if reading.spelling != "checkpoint" or reading.runtime_name == statement.name:
            continue
        if (statement.file, statement.path[:-1], reading.runtime_name) in stated:
            continue  # an alias in the runtime's spelling is next to it
        yield context.finding(
            subject=statement.name,
            message=f"uses the checkpoint spelling; {look} up a different name",
            place=statement.place,
            effect="",
            modules=reading.modules,
            expected=reading.runtime_name,
        )


@FAMILY.rule(
    "CKF105",
    "name matches no module",
    Severity.ERROR,
    why=(
        "An entry that matches no module has no effect, and the module it was meant for is "
        "built with the default format. Exporters wrote such names: "
        "model.layers.language_model.layers.0 (NVIDIA/Model-Optimizer issue 479), a trailing dot "
        "(issue 882)."
    ),
    fix="Correct the name, with `maps` if it is systematic, or remove the entry.",
    fixed_by=Repair.CONTENT,
    reads_names=True,
    since="0.1.0",
    refuses_rename=True,
    is_idle=True,
    example="""
    model.safetensors
      model.layers.0.mlp.gate stored as BF16
    config.json /quantization_config
      "quant_algo": "FP8",
    - "ignore": ["model.layers.language_model.layers.0.mlp.gate"]
    + "ignore": ["model.layers.0.mlp.gate"]
    """,
)
def matches_nothing(context: Context) -> Iterable[Finding]:
    """Entries, targets and patterns that match no module of the checkpoint."""
    for statement in statements(context):
        if is_corrupt(statement.name) or read(context, statement).spelling is not None:
            continue
        if statement.kind == "exclude" and is_about_absent_modules(
            context.checkpoint, statement.name
        ):
            continue
        if statement.kind == "entry" and statement.quant_algo is None:
            continue
        if abbreviates(context, statement):
            continue  # CKF104 reports what it matches
        nearest = context.naming.nearest(statement.name.rstrip("*").rstrip("."))
        yield context.finding(
            subject=statement.name,
            message="matches no module of the checkpoint",
            place=statement.place,
            advice=f"the nearest existing name is {visible(nearest)}" if nearest else "remove it",
            depends_on_experts=EXPERTS in (nearest or ""),
        )


def is_about_absent_modules(checkpoint: Checkpoint, pattern: str) -> bool:
    """True for a pattern over a tied head, or draft layers, that the checkpoint does not store."""
    if _is_dropped_tied_head(checkpoint, pattern):
        return True
    root = draft_root(checkpoint, pattern.strip("*").strip("."))
    return root is not None and not any(draft_root(checkpoint, m) for m in checkpoint.modules)


def _is_dropped_tied_head(checkpoint: Checkpoint, pattern: str) -> bool:
    """ModelOpt lists a tied lm_head that is not stored (0.47.0 llama-nvfp4-tied)."""
    head = pattern.rstrip("*").rstrip(".").rpartition(".")[2]
    config = checkpoint.config
    return head == "lm_head" and (config.tied_embeddings is not False or config.may_tie)


@FAMILY.rule(
    "CKF108",
    "name contains unprintable characters",
    Severity.ERROR,
    why=(
        "ModelOpt 0.46 and 0.47 with transformers' native nemotron_h append a sentinel with a "
        "NUL byte to every name, so that no exclude pattern matches (NVIDIA/Model-Optimizer "
        "issue 2129, NVIDIA/TensorRT-LLM issue 18607). vLLM 0.33.0 still finds entries of "
        "quantized_layers, because it takes the sentinel for a child of the module; other "
        "readers do not find them."
    ),
    fix="`rewrite()` strips the sentinel.",
    fixed_by=Repair.NAMES,
    reads_names=True,
    since="0.1.0",
    example=r"""
    model.safetensors
      lm_head stored as BF16
    config.json /quantization_config
      "quant_algo": "FP8",
    - "ignore": ["lm_head\u0000_sentinel"]
    + "ignore": ["lm_head"]
    """,
)
def corrupt_name(context: Context) -> Iterable[Finding]:
    """Names with a NUL byte, the exporter's sentinel, or other unprintable characters."""
    name_map = context.naming.name_map
    mapper = (name_map if name_map.required else damage_map()).mapper
    for statement in statements(context):
        if not is_corrupt(statement.name):
            continue
        repaired = mapper.map(statement.name)
        known = repaired is not None and repaired != statement.name and not is_corrupt(repaired)
        yield context.finding(
            subject=statement.name,
            message="contains unprintable characters, so it matches no module",
            place=statement.place,
            effect="",
            expected=repaired if known and repaired else "",
            fixed_by=Repair.NAMES if known else Repair.CONTENT,
        )
