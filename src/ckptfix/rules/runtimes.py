"""CKF7xx: what the releases that the user asked for would make of the checkpoint."""

from collections.abc import Iterable

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.metadata import CONFIG_FILE
from ckptfix.commands import quoted
from ckptfix.place import Place
from ckptfix.rules.finding import Context, Finding, Severity, rule
from ckptfix.runtimes.effective import effective_metadata
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.verdict import ModuleVerdict
from ckptfix.text import visible


@rule(
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
        does = "stop at it" if module.resolved == "error" else f"build it as {module.resolved}"
        specs = " ".join(f"--runtime {quoted(f'{t.runtime}=={t.version}')}" for t in targets)
        yield Finding(
            "CKF701",
            module.name,
            f"is stored as {module.stored}, {releases} would {does}: {visible(module.reason)}",
            next((stated[name] for name in _deciding(module) if name in stated), whole),
            f"see what names can repair with ckptfix rewrite --dry-run {specs}",
            module.members,
            releases=tuple(map(str, targets)),
        )


@rule(
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
        yield Finding(
            "CKF702",
            place.file,
            f"is refused: {releases} {problem}",
            place,
            "serve on a release that takes it, ckptfix check --runtime vllm asks every known one",
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
