"""CKF5xx: the files of a checkpoint against each other."""

from collections.abc import Iterable, Iterator, Mapping
from sys import intern
from typing import Final

from ckptfix.checkpoint.metadata import QUANT_CFG_FILE, MetadataFile
from ckptfix.checkpoint.shard_index import INDEX_FILE
from ckptfix.place import Place
from ckptfix.rules.context import Context
from ckptfix.rules.coverage import decides
from ckptfix.rules.finding import Family, Finding, Related, Severity
from ckptfix.text import visible

FAMILY: Final = Family("CKF5", "files and index")


@FAMILY.rule(
    "CKF502",
    "index and shard headers disagree",
    Severity.ERROR,
    why=(
        "The loader looks for a tensor in the shard file that the index names. A stale index "
        "leaves weights uninitialised or stops the load (vllm-project/vllm-omni issue 2517)."
    ),
    fix="Rebuild model.safetensors.index.json from the headers.",
    since="0.1.0",
    blocks_loading=True,
    example="""
    model-00001-of-00002.safetensors
      layers.0.mlp.gate stored as BF16
    model-00002-of-00002.safetensors
      lm_head stored as BF16
    model.safetensors.index.json
      "weight_map": {
        "layers.0.mlp.gate.weight": "model-00001-of-00002.safetensors",
    -   "lm_head.weight": "model-00001-of-00002.safetensors"
    +   "lm_head.weight": "model-00002-of-00002.safetensors"
      }
    """,
)
def index_disagrees(context: Context) -> Iterable[Finding]:
    """Tensors that the index places where no header lists them, or does not place at all."""
    table = context.checkpoint.table
    if table.index_file is None:
        return
    for tensor, file in table.missing:
        elsewhere = table.file_of.get(tensor)
        where = f"it is in {elsewhere}" if elsewhere else "no shard file has it"
        yield context.finding(
            subject=tensor,
            message=intern(f"is placed in {file} by the index, and {where}"),
            place=Place(table.index_file, f"/weight_map/{visible(tensor)}"),
            advice="rebuild the index",
            related=(Related(Place(elsewhere, tensor=visible(tensor)), "the tensor is here"),)
            if elsewhere
            else (),
        )
    missing = {tensor for tensor, _ in table.missing}
    for tensor, file in table.unindexed:
        if tensor not in missing:
            yield context.finding(
                subject=tensor,
                message=f"is in {file} and the index does not place it there",
                place=Place(file, tensor=visible(tensor)),
                advice="rebuild the index",
            )


@FAMILY.rule(
    "CKF501",
    "config.json and hf_quant_config.json disagree",
    Severity.ERROR,
    why=(
        "vLLM and SGLang go by config.json, TensorRT-LLM by hf_quant_config.json: one of them "
        "builds what the tensors do not hold (vllm-project/vllm issue 25706 read the wrong list)."
    ),
    fix="Say the same in both files; ckptfix rewrite --from-tensors sets both right.",
    fixed_by="rewrite --from-tensors",
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
    """Algorithm, entries and exclude patterns of the two files, whatever their spelling."""
    read = [m for m in context.checkpoint.metadata if m.file != QUANT_CFG_FILE and decides(m)]
    if len(read) < 2:
        return
    first, second = read[0], read[1]
    ours, theirs = first.quant_algo, second.quant_algo
    if (ours or "").upper() != (theirs or "").upper():
        message = f"says {_said(ours)}, {second.file} says {_said(theirs)}"
        there = Related(second.place, f"says {_said(theirs)}")
        yield _disagreement(context, first.file, message, first, there)
        return
    if first.is_mixed:
        for module, (a, b) in _different(_named(context, first), _named(context, second)):
            message = f"is named as {_said(a)} here and {_said(b)} in {second.file}"
            there = Related(second.place, f"names it as {_said(b)}")
            yield _disagreement(context, module, message, first, there)
    stored = context.checkpoint.unquantized_linears
    excluded_here, excluded_there = context.excluded(first), context.excluded(second)
    for module in stored if not first.is_mixed else ():
        if (module in excluded_here) != (module in excluded_there):
            here, not_there = ("", "not ") if module in excluded_here else ("not ", "")
            message = f"is {here}excluded here and {not_there}excluded in {second.file}"
            there = Related(second.place, f"it is {not_there}excluded here")
            yield _disagreement(context, module, message, first, there)


def _disagreement(
    context: Context, subject: str, message: str, metadata: MetadataFile, there: Related
) -> Finding:
    return context.finding(
        subject=subject,
        message=message,
        place=metadata.place,
        advice="run ckptfix rewrite --from-tensors",
        related=(there,),
    )


def _said(quant_algo: str | None) -> str:
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
    "CKF503",
    "total_size in the index differs from the shard files",
    Severity.WARNING,
    why=(
        "The number is that of another export: tensors were added or left out after the index was "
        "written. Loaders do not stop at it, but whoever plans memory by it is wrong."
    ),
    fix="Rebuild model.safetensors.index.json from the headers.",
    since="0.1.0",
    example="""
    model.safetensors
      lm_head stored as BF16, [64, 32]
    model.safetensors.index.json
    - "metadata": {"total_size": 8192},
    + "metadata": {"total_size": 4096},
      "weight_map": {"lm_head.weight": "model.safetensors"}
    """,
)
def total_size_differs(context: Context) -> Iterable[Finding]:
    """`metadata.total_size` against the bytes that the headers declare."""
    table = context.checkpoint.table
    if table.index_file is None or table.total_size in (None, table.nbytes):
        return
    yield context.finding(
        subject="total_size",
        message=f"is {table.total_size:,} bytes in the index, the tensors have {table.nbytes:,} "
        "bytes",
        place=Place(table.index_file, "/metadata/total_size"),
        advice="rebuild the index",
    )


@FAMILY.rule(
    "CKF504",
    "shard file is not in the index",
    Severity.WARNING,
    why=(
        "With an index, runtimes read the files that it names and no other: an mtp.safetensors "
        "beside it is never loaded, and the drafter starts without weights."
    ),
    fix="Rebuild model.safetensors.index.json from the headers, or remove the file.",
    since="0.1.0",
    example="""
    model.safetensors
      lm_head stored as BF16
    mtp.safetensors
      mtp.fc stored as BF16
    model.safetensors.index.json
      "weight_map": {
    +   "mtp.fc.weight": "mtp.safetensors",
        "lm_head.weight": "model.safetensors"
      }
    """,
)
def unlisted_file(context: Context) -> Iterable[Finding]:
    """`.safetensors` files that lie beside an index which does not name them."""
    table = context.checkpoint.table
    for file in table.unlisted_files:
        if not file.startswith("consolidated"):  # Mistral's own layout of the same weights
            yield context.finding(
                subject=file,
                message=f"is not named in {table.index_file}, so no runtime reads it",
                place=Place(file),
                advice="rebuild the index, or remove the file",
            )


@FAMILY.rule(
    "CKF505",
    "several shard files and no index",
    Severity.WARNING,
    why=(
        "vLLM and SGLang then read every .safetensors file beside config.json, a leftover one too; "
        "transformers loads no sharded checkpoint without the index."
    ),
    fix="Write model.safetensors.index.json from the headers.",
    since="0.1.0",
    example="""
    model-00001-of-00002.safetensors
      lm_head stored as BF16
    model-00002-of-00002.safetensors
      mtp.fc stored as BF16
    model.safetensors.index.json
    + "weight_map": {
    +   "lm_head.weight": "model-00001-of-00002.safetensors",
    +   "mtp.fc.weight": "model-00002-of-00002.safetensors"
    + }
    """,
)
def no_index(context: Context) -> Iterable[Finding]:
    """More than one shard file, and nothing that says which tensor is in which."""
    table = context.checkpoint.table
    if table.lacks_index:
        yield context.finding(
            subject=INDEX_FILE,
            message=f"is missing, and the tensors lie in {len(table.shard_files):,} shard files",
            place=Place(INDEX_FILE),
            advice="write the index",
        )


@FAMILY.rule(
    "CKF506",
    "field of the metadata has another type than ModelOpt writes",
    Severity.WARNING,
    why=(
        'Each release makes of it what its own code does: vLLM 0.33.0 reads a group_size of "16" '
        "as 16 and SGLang 0.5.23 stops at it; vLLM stops at an ignore that is null or a string, "
        "and SGLang takes it for an empty list or for the letters."
    ),
    fix="Write the type that ModelOpt writes; check --runtime shows what a release makes of it.",
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
                message=f"is not {fault.expected}, which is what ModelOpt writes",
                place=fault.place,
                advice=f"write {fault.expected}",
            )
