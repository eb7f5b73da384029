"""CKF7xx: whether the requested releases load the checkpoint as stored."""

from collections.abc import Iterable
from typing import Final

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.dialects.statements import CONFIG_FILE, PARAMS_FILE, Statement
from ckptfix.place import Place
from ckptfix.rules.context import Context
from ckptfix.rules.finding import Family, Finding, Severity
from ckptfix.runtimes.loads import Reason
from ckptfix.runtimes.module_verdict import ModuleVerdict
from ckptfix.runtimes.target_verdict import TargetVerdict
from ckptfix.runtimes.targets import Target
from ckptfix.text import visible

FAMILY: Final = Family("CKF7", "runtimes")


@FAMILY.rule(
    "CKF701",
    "a runtime release builds the module in a different format than it is stored",
    Severity.ERROR,
    why=(
        "The release looks up the module under its own name and resolves an algorithm that "
        "differs from the stored format. vLLM 0.17.1 finds none of the 12 quantized modules of "
        "Nemotron Nano VL and builds them unquantized, so loading stops at the first scale "
        "(vllm-project/vllm PR 39901). If the shapes happen to agree, loading succeeds and the "
        "server answers garbage (vllm-project/vllm issue 47445)."
    ),
    fix=(
        "`rewrite(runtimes=[SPEC])` fixes what renaming can fix and reports the rest; ckptfix "
        "resolve shows how the release resolved the module."
    ),
    since="0.1.0",
    needs="release",
    example="""
    on vllm==0.17.1
    config.json
      "architectures": ["NemotronH_Nano_VL_V2"]
    model.safetensors
      language_model.backbone.layers.0.mixer.in_proj stored as FP8
    config.json /quantization_config
      "quant_method": "modelopt",
      "quant_algo": "MIXED_PRECISION",
      "quantized_layers": {
    -   "language_model.backbone.layers.0.mixer.in_proj": {"quant_algo": "FP8"}
    +   "language_model.model.layers.0.mixer.in_proj": {"quant_algo": "FP8"}
      }
    """,
)
def wrong_module(context: Context) -> Iterable[Finding]:
    """Modules whose stored format a release does not resolve; one finding for equal releases."""
    grouped: dict[tuple[str, str, str, str], list[Target]] = {}
    first: dict[tuple[str, str, str, str], ModuleVerdict] = {}
    for verdict in context.verdicts:
        for module in verdict.wrong:
            key = module.name, module.stored, module.resolved, module.reason
            grouped.setdefault(key, []).append(verdict.target)
            first.setdefault(key, module)
    if not grouped:
        return
    whole, stated = _whole(context.checkpoint), _stated(context.verdicts)
    for key, targets in grouped.items():
        module = first[key]
        releases = " and ".join(map(str, targets))
        deciding = _deciding(module)
        s = "s" if len(targets) == 1 else ""
        does = (
            f"stop{s} at it" if module.resolved == "error" else f"build{s} it as {module.resolved}"
        )
        specs = ", ".join(repr(t.spec) for t in targets)
        yield context.finding(
            subject=module.name,
            message=f"is stored as {module.stored}, but {releases} {does}: "
            f"{visible(module.reason)}",
            place=next((stated[name].place for name in deciding if name in stated), whole),
            advice=f"to see what renaming can fix, run `plan(runtimes=[{specs}])`",
            effect="repairs it",
            modules=module.members,
            releases=tuple(map(str, targets)),
        )


@FAMILY.rule(
    "CKF702",
    "a runtime release rejects the metadata as a whole",
    Severity.ERROR,
    why=(
        "The release reads the quantization metadata before it builds any layer, and stops: "
        "vLLM 0.33.0 with 'MIXED_PRECISION quant_algo requires a non-empty quantized_layers "
        "mapping', older releases at an algorithm that they do not support."
    ),
    fix=(
        "Serve with a release that accepts it: `check()` tries every known release. A format that "
        "none supports has to be exported again in a different one."
    ),
    since="0.1.0",
    needs="release",
    rejects_all=True,
    example="""
    on vllm==0.33.0
    model.safetensors
      model.layers.0.mlp.down_proj stored as FP8
    config.json /quantization_config
    + "quantized_layers": {"model.layers.0.mlp.down_proj": {"quant_algo": "FP8"}},
      "quant_algo": "MIXED_PRECISION",
      "quant_method": "modelopt"
    """,
)
def refused_metadata(context: Context) -> Iterable[Finding]:
    """Releases that stop before they build a layer; one finding for equal releases."""
    grouped: dict[tuple[Reason, Place], list[Target]] = {}
    for verdict in context.verdicts:
        if verdict.refusal:
            at = verdict.at or _whole(context.checkpoint)
            grouped.setdefault((verdict.refusal, at), []).append(verdict.target)
    for (refusal, place), targets in grouped.items():
        yield context.finding(
            subject=place.file,
            message=f"is rejected by {' and '.join(map(str, targets))}: "
            f"{refusal.cause or refusal.text}",
            place=place,
            advice="serve with a release that loads it, if there is one, or export it again"
            if place.file in context.checkpoint.documents
            else f"copy {place.file} from where the checkpoint was published or exported",
            releases=tuple(map(str, targets)),
        )


@FAMILY.rule(
    "CKF703",
    "a runtime release has no parameter for a tensor, or leaves a weight uninitialised",
    Severity.ERROR,
    why=(
        "config.json determines which modules a model class builds. vLLM 0.33.0 stops at a "
        "tensor that has no parameter, but does not notice a parameter that no tensor fills: it "
        "checks that only for unquantized checkpoints "
        "(vllm/model_executor/model_loader/default_loader.py). SGLang 0.5.23 notices neither, "
        "and the server answers garbage."
    ),
    fix="Export the checkpoint again, or make config.json match what is stored.",
    since="0.2.0",
    needs="release",
    example="""
    on vllm==0.33.0
    model.safetensors
      model.embed_tokens stored as BF16
      model.norm stored as BF16, [32]
    - model.left_over stored as BF16
    config.json /quantization_config
      "quant_algo": "FP8",
      "quant_method": "modelopt"
    """,
)
def not_loaded(context: Context) -> Iterable[Finding]:
    """Faults, other than differing formats, that keep a release from loading the checkpoint."""
    grouped: dict[tuple[Reason, bool], list[Target]] = {}
    for verdict in context.verdicts:
        for fault in verdict.faults:
            key = fault, verdict.is_of_other_format
            grouped.setdefault(key, []).append(verdict.target)
    for (fault, is_of_other_format), targets in grouped.items():
        other = context.checkpoint.other if is_of_other_format else None
        read = other or context.checkpoint
        file = PARAMS_FILE if read.is_mistral else CONFIG_FILE
        place = Place(file)
        if tensor := next(iter(_tensors_of(read, fault.tensor)), ""):
            place = Place(read.table.file_of[tensor], tensor=visible(tensor))
        yield context.finding(
            subject=fault.tensor or file,
            message=f"is not loaded as stored by {' and '.join(map(str, targets))}: it "
            f"{fault.text}",
            place=place,
            advice=f"{context.export_again()}, or make {file} match what is stored",
            releases=tuple(map(str, targets)),
            for_each_expert=not fault.of_first,
        )


def _tensors_of(checkpoint: Checkpoint, name: str) -> tuple[str, ...]:
    """The tensor of a name, or those of the module of that name."""
    if name in checkpoint.table.file_of:
        return (name,)
    module = checkpoint.modules.get(name)
    return tuple(module.tensor_names.values()) if module else ()


def _deciding(module: ModuleVerdict) -> tuple[str, ...]:
    """The name that decided, otherwise those that name the module."""
    resolution = module.resolution
    if resolution is not None and resolution.excluded is not None:
        return (resolution.excluded.pattern.original,)
    if resolution is not None and resolution.resolved is not None:
        return (resolution.resolved.entry.original,)
    return module.members


def _stated(verdicts: Iterable[TargetVerdict]) -> dict[str, Statement]:
    """The first statement of each name in the metadata that the releases use."""
    found: dict[str, Statement] = {}
    used = [v.metadata for v in verdicts if v.metadata]
    for statements in {id(ss): ss for m in used for ss in (m.entries, m.excludes)}.values():
        for statement in statements:
            found.setdefault(statement.name, statement)
    return found


def _whole(checkpoint: Checkpoint) -> Place:
    """The object that holds the metadata that runtimes use."""
    return next((m.place for m in checkpoint.metadata), Place(CONFIG_FILE))
