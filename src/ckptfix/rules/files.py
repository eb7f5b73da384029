"""CKF5xx: contradictions between the files of a checkpoint."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from ckptfix.checkpoint.dialects.statements import (
    CONFIG_FILE,
    MetadataFile,
    Statement,
    named_quantizer,
    value_at,
)
from ckptfix.jsontext.text import JsonText, Path
from ckptfix.place import Place
from ckptfix.rules.context import Context
from ckptfix.rules.coverage import decides
from ckptfix.rules.finding import Family, Finding, Related, Repair, Severity
from ckptfix.runtimes.registry import read_by_runtimes
from ckptfix.text import visible

FAMILY: Final = Family("CKF5", "files and index")


@FAMILY.rule(
    "CKF501",
    "metadata files disagree",
    Severity.ERROR,
    why=(
        "vLLM and SGLang use config.json, TensorRT-LLM uses hf_quant_config.json. One of them "
        "builds a format that the tensors do not have (in vllm-project/vllm issue 25706 the "
        "wrong list was read)."
    ),
    fix="Make both files agree; `rewrite(from_tensors=True)` corrects both.",
    fixed_by=Repair.CONTENT,
    reads_names=True,
    since="0.1.0",
    example="""
    config.json /quantization_config
      "quant_algo": "FP8"
    hf_quant_config.json /quantization
    - "quant_algo": "NVFP4"
    + "quant_algo": "FP8"
    """,
)
def files_disagree(context: Context) -> Iterable[Finding]:
    """Algorithm, entries and exclude patterns of the two files, in either spelling."""
    read = [m for m in read_by_runtimes(context.checkpoint.metadata) if decides(m)]
    if len(read) < 2:
        return
    first, second = read[0], read[1]
    ours, theirs = first.quant_algo, second.quant_algo
    if (ours or "").upper() != (theirs or "").upper():
        message = f"has {_shown(ours)}, but {second.file} has {_shown(theirs)}"
        there = Related(second.place, f"declares {_shown(theirs)}")
        yield _disagreement(context, first.file, message, first, there)
        return
    if first.is_mixed:
        for module, (a, b) in _different(_named(context, first), _named(context, second)):
            message = f"is declared as {_shown(a)} here and as {_shown(b)} in {second.file}"
            there = Related(second.place, f"declares it as {_shown(b)}")
            yield _disagreement(context, module, message, first, there)
    stored = context.checkpoint.unquantized_linears
    excluded_here, excluded_there = context.excluded(first), context.excluded(second)
    for module in stored if not first.is_mixed else ():
        if (module in excluded_here) != (module in excluded_there):
            here, not_there = ("", "not ") if module in excluded_here else ("not ", "")
            message = f"is {here}excluded here but {not_there}excluded in {second.file}"
            there = Related(second.place, f"it is {not_there}excluded here")
            yield _disagreement(context, module, message, first, there)


@files_disagree.in_own_reading
def files_disagree_in_own_reading(context: Context) -> Iterable[Finding]:
    """A file of the same quantizer whose schemes differ from those of the deciding file."""
    reading, metadata = context.checkpoint.dialect.reading, context.checkpoint.metadata
    if reading is None or len(metadata) < 2:
        return
    first = metadata[0]
    ours = context.declarations.decided(reading, first)
    for second in metadata[1:]:
        theirs = context.declarations.decided(reading, second)
        differ = [m for m, decision in ours.items() if _scheme(decision) != _scheme(theirs[m])]
        if differ:
            here, there = _scheme(ours[differ[0]])[0], _scheme(theirs[differ[0]])[0]
            more = f" and {len(differ) - 1:,} more" if len(differ) > 1 else ""
            message = (
                f"declares {visible(differ[0])}{more} as {_shown(there)}, but {first.file}, which "
                f"the runtimes use, declares {_shown(here)}"
            )
            yield context.finding(
                subject=second.file,
                message=message,
                place=second.place,
                effect="",
                modules=tuple(differ),
                related=(Related(first.place, f"declares {_shown(here)}"),),
            )


def _scheme(
    decision: Statement | MetadataFile | None,
) -> tuple[str | None, int | None, bool | None]:
    if decision is None or not decision.quant_algo:
        return None, None, None
    return decision.quant_algo, decision.group_size, decision.symmetric


@FAMILY.rule(
    "CKF508",
    "leftover metadata file of another quantizer",
    Severity.WARNING,
    why=(
        "A checkpoint that was converted from one quantizer's format to another's may keep a file "
        "of the first. vLLM and SGLang use config.json if it names a quantizer; a tool that reads "
        "the other file takes the checkpoint for one of the wrong quantizer."
    ),
    fix="Remove the file, unless config.json is the leftover.",
    since="0.2.0",
    example="""
    model.safetensors
      layers.0.mlp.up_proj stored as FP8
    config.json /quantization_config
      "quant_method": "modelopt",
      "quant_algo": "FP8"
    quantize_config.json
    - "bits": 4
    """,
)
def left_over(context: Context) -> Iterable[Finding]:
    """Files of another quantizer, which readers of this metadata ignore."""
    checkpoint = context.checkpoint
    read = {metadata.file for metadata in checkpoint.metadata}
    ours = {own.name for own in checkpoint.dialect.own_files}
    named = next((m for m in checkpoint.metadata if m.file == CONFIG_FILE), None)
    if named is None:
        return
    method = _method(checkpoint.documents[CONFIG_FILE], named.root)
    for file, document in checkpoint.documents.items():
        # AutoRound also writes its quantization_config.json when it exports another format.
        if file not in read | ours and _method(document, ()) != method:
            yield context.finding(
                subject=file,
                message=f"is not a file of {checkpoint.dialect.quantizer}, the quantizer that "
                "config.json names and the runtimes use",
                place=Place(file),
                advice="remove it",
            )


def _method(document: JsonText, root: Path) -> str | None:
    value = value_at(document.value, root)
    return named_quantizer(value) if isinstance(value, dict) else None


def _disagreement(
    context: Context, subject: str, message: str, metadata: MetadataFile, there: Related
) -> Finding:
    return context.finding(
        subject=subject,
        message=message,
        place=metadata.place,
        effect="",
        related=(there,),
    )


def _shown(quant_algo: str | None) -> str:
    return visible(quant_algo) if quant_algo else "nothing"


def _named(context: Context, metadata: MetadataFile) -> dict[str, str]:
    return {module: entry.quant_algo or "" for module, entry in context.entries(metadata).items()}


def _different(
    ours: Mapping[str, str], theirs: Mapping[str, str]
) -> Iterator[tuple[str, tuple[str, str]]]:
    for module in dict.fromkeys((*ours, *theirs)):
        a, b = ours.get(module, ""), theirs.get(module, "")
        if a.upper() != b.upper():
            yield module, (a, b)


@FAMILY.rule(
    "CKF506",
    "metadata field has a different type than ModelOpt writes",
    Severity.WARNING,
    why=(
        'Releases differ in how they handle it. vLLM 0.33.0 reads a group_size of "16" '
        "as 16, SGLang 0.5.23 stops. If ignore is null or a string, vLLM stops, but SGLang reads "
        "it as an empty list or as a list of letters."
    ),
    fix="Write the type that ModelOpt writes; `check(runtimes=[SPEC])` shows how each release "
    "reads the current value.",
    since="0.2.0",
    example="""
    model.safetensors
      layers.0.mlp.up_proj stored as NVFP4
    hf_quant_config.json /quantization
      "quant_algo": "NVFP4",
    - "group_size": "16"
    + "group_size": 16
    """,
)
def wrong_type(context: Context) -> Iterable[Finding]:
    """Fields that are ignored because of their type."""
    for metadata in context.checkpoint.metadata:
        for fault in metadata.faults:
            yield context.finding(
                subject=fault.place.pointer or metadata.file,
                message=f"is not {fault.expected}, as {metadata.quantizer} writes it",
                place=fault.place,
                advice=f"write {fault.expected}",
            )
