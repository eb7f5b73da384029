"""CKF5xx: the files of a checkpoint against each other."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from ckptfix.checkpoint.dialects.statements import MetadataFile
from ckptfix.rules.context import Context
from ckptfix.rules.coverage import decides
from ckptfix.rules.finding import Family, Finding, Related, Repair, Severity
from ckptfix.runtimes.registry import read_by_runtimes
from ckptfix.text import visible

FAMILY: Final = Family("CKF5", "files and index")


@FAMILY.rule(
    "CKF501",
    "config.json and hf_quant_config.json disagree",
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
        there = Related(second.place, f"says {_shown(theirs)}")
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
    """Fields that are read as if they were not there."""
    for metadata in context.checkpoint.metadata:
        for fault in metadata.faults:
            yield context.finding(
                subject=fault.place.pointer or metadata.file,
                message=f"is not {fault.expected}, as {metadata.quantizer} writes it",
                place=fault.place,
                advice=f"write {fault.expected}",
            )
