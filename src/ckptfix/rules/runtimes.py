"""CKF7xx: what the releases that the user asked for would make of the checkpoint."""

from collections.abc import Iterable
from typing import Final

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.expert_banks import EXPERTS
from ckptfix.checkpoint.metadata import CONFIG_FILE
from ckptfix.commands import quoted
from ckptfix.place import Place
from ckptfix.rules.context import Context
from ckptfix.rules.finding import Family, Finding, Severity
from ckptfix.runtimes.effective import effective_metadata
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.verdict import ModuleVerdict
from ckptfix.text import visible

FAMILY: Final = Family("CKF7", "runtimes")


@FAMILY.rule(
    "CKF701",
    "a release builds the module otherwise than it is stored",
    Severity.ERROR,
    why=(
        "The release looks the module up under its own name and resolves another algorithm than "
        "the tensors have. vLLM 0.17.1 finds none of the 12 quantized modules of Nemotron Nano VL "
        "and builds them unquantized: loading stops at the first scale (vllm-project/vllm PR "
        "39901). Where the shapes agree nothing stops and the server answers garbage "
        "(vllm-project/vllm issue 47445)."
    ),
    fix=(
        "ckptfix rewrite --runtime SPEC repairs what names can repair and says what they cannot; "
        "ckptfix resolve shows how the release got to its answer."
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
    """Modules whose stored format a release does not resolve, once for releases that agree."""
    alike: dict[tuple[str, str, str, str], list[Target]] = {}
    first: dict[tuple[str, str, str, str], ModuleVerdict] = {}
    for verdict in context.verdicts:
        for module in verdict.wrong:
            key = module.name, module.stored, module.resolved, module.reason
            alike.setdefault(key, []).append(verdict.target)
            first.setdefault(key, module)
    if not alike:
        return
    whole, stated = _whole(context.checkpoint), _stated(context.checkpoint)
    for key, targets in alike.items():
        module = first[key]
        releases = " and ".join(map(str, targets))
        deciding = _deciding(module)
        does = "stop at it" if module.resolved == "error" else f"build it as {module.resolved}"
        specs = " ".join(f"--runtime {quoted(f'{t.runtime}=={t.version}')}" for t in targets)
        yield context.finding(
            subject=module.name,
            message=f"is stored as {module.stored}, {releases} would {does}: "
            f"{visible(module.reason)}",
            place=next((stated[name] for name in deciding if name in stated), whole),
            advice=f"see what names can repair with ckptfix rewrite --dry-run {specs}",
            modules=module.members,
            releases=tuple(map(str, targets)),
            depends_on_experts=any(EXPERTS in name for name in deciding),
        )


@FAMILY.rule(
    "CKF702",
    "a release refuses the metadata as a whole",
    Severity.ERROR,
    why=(
        "The release reads the quantization metadata before it builds a layer and stops there: "
        "vLLM 0.33.0 with 'MIXED_PRECISION quant_algo requires a non-empty quantized_layers "
        "mapping', older ones on an algorithm that they do not support."
    ),
    fix=(
        "Serve on a release that takes it: ckptfix check --runtime vllm --runtime sglang asks "
        "every known one."
    ),
    since="0.1.0",
    needs="release",
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
    """Releases that would stop before they build a layer, once for releases that agree."""
    alike: dict[str, list[Target]] = {}
    for verdict in context.verdicts:
        if verdict.refused:
            alike.setdefault(verdict.problem, []).append(verdict.target)
    for problem, targets in alike.items():
        place = _whole(context.checkpoint)
        releases = " and ".join(map(str, targets))
        yield context.finding(
            subject=place.file,
            message=f"is refused: {releases} {problem}",
            place=place,
            advice="serve on a release that takes it, ckptfix check --runtime vllm asks every "
            "known one",
            releases=tuple(map(str, targets)),
        )


def _deciding(module: ModuleVerdict) -> tuple[str, ...]:
    """The name that decided, else those that were meant to."""
    resolution = module.resolution
    if resolution is not None and resolution.excluded is not None:
        return (resolution.excluded.pattern.original,)
    if resolution is not None and resolution.resolved is not None:
        return (resolution.resolved.entry.original,)
    return module.members


def _stated(checkpoint: Checkpoint) -> dict[str, Place]:
    """Where the metadata that runtimes go by states each name."""
    metadata = effective_metadata(checkpoint.metadata)
    if metadata is None:
        return {}
    return {s.name: s.place for s in (*metadata.entries, *metadata.excludes)}


def _whole(checkpoint: Checkpoint) -> Place:
    """The object that holds the metadata that runtimes go by."""
    metadata = effective_metadata(checkpoint.metadata)
    places = (m.place for m in checkpoint.metadata if metadata and m.file == metadata.file)
    return next(places, Place(CONFIG_FILE))
