"""CKF5xx: the files of a checkpoint against each other."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from sys import intern
from typing import Final

from ckptfix.checkpoint.dialects.statements import MetadataFile
from ckptfix.checkpoint.shard_index import INDEX_FILE
from ckptfix.checkpoint.tensor_table import TensorTable
from ckptfix.place import Place
from ckptfix.rules.context import Context
from ckptfix.rules.coverage import decides
from ckptfix.rules.finding import Family, Finding, Related, Repair, Severity
from ckptfix.runtimes.registry import read_by_runtimes
from ckptfix.text import visible

FAMILY: Final = Family("CKF5", "files and index")
MOST_LISTED: Final = 10_000
"""Tensors of one kind with a finding each; a stale index has a million, and one cause."""
_REBUILD: Final = "rebuild the index"


@FAMILY.rule(
    "CKF502",
    "index and shard headers disagree",
    Severity.ERROR,
    why=(
        "The loader reads each tensor from the shard file that the index gives for it. A stale "
        "index leaves weights uninitialised or makes loading fail (vllm-project/vllm-omni issue "
        "2517)."
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
    yield from _placed_wrongly(context, table, table.index_file)
    unindexed = {tensor for tensor, _ in table.unindexed}
    told = unindexed.intersection(tensor for tensor, _ in table.missing)
    yield from _not_placed(context, [(t, f) for t, f in table.unindexed if t not in told])


def _placed_wrongly(context: Context, table: TensorTable, index: str) -> Iterator[Finding]:
    for tensor, file in islice(table.missing, MOST_LISTED):
        elsewhere = table.file_of.get(tensor)
        where = f"it is in {elsewhere}" if elsewhere else "no shard file contains it"
        yield context.finding(
            subject=tensor,
            message=intern(f"should be in {file} according to the index, but {where}"),
            place=Place(index, f"/weight_map/{visible(tensor)}"),
            advice=_REBUILD,
            related=(Related(Place(elsewhere, tensor=visible(tensor)), "the tensor is here"),)
            if elsewhere
            else (),
        )
    more = len(table.missing) - MOST_LISTED
    if more > 0:
        yield context.finding(
            subject=index,
            message=f"lists {more:,} more tensors in files whose headers do not contain them",
            place=Place(index, "/weight_map"),
            advice=_REBUILD,
            count=more,
        )


def _not_placed(context: Context, unindexed: Sequence[tuple[str, str]]) -> Iterator[Finding]:
    for tensor, file in unindexed[:MOST_LISTED]:
        yield context.finding(
            subject=tensor,
            message=f"is in {file}, but the index does not list it there",
            place=Place(file, tensor=visible(tensor)),
            advice=_REBUILD,
        )
    more = len(unindexed) - MOST_LISTED
    if more > 0:
        yield context.finding(
            subject=INDEX_FILE,
            message=f"does not list {more:,} more tensors where they are",
            place=Place(INDEX_FILE, "/weight_map"),
            advice=_REBUILD,
            count=more,
        )


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
    read = [m for m in read_by_runtimes(context.checkpoint.metadata) if decides(m)]
    if len(read) < 2:
        return
    first, second = read[0], read[1]
    ours, theirs = first.quant_algo, second.quant_algo
    if (ours or "").upper() != (theirs or "").upper():
        message = f"has {_said(ours)}, but {second.file} has {_said(theirs)}"
        there = Related(second.place, f"says {_said(theirs)}")
        yield _disagreement(context, first.file, message, first, there)
        return
    if first.is_mixed:
        for module, (a, b) in _different(_named(context, first), _named(context, second)):
            message = f"is declared as {_said(a)} here and as {_said(b)} in {second.file}"
            there = Related(second.place, f"declares it as {_said(b)}")
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
        advice="run `rewrite(from_tensors=True)`",
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
        "Tensors were added or removed after the index was written. Loaders ignore it, but "
        "memory estimates based on it are wrong."
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
        message=f"is {table.total_size:,} bytes in the index, but the tensors have "
        f"{table.nbytes:,} bytes",
        place=Place(table.index_file, "/metadata/total_size"),
        advice=_REBUILD,
    )


@FAMILY.rule(
    "CKF504",
    "shard file is not in the index",
    Severity.WARNING,
    why=(
        "If there is an index, runtimes only read the files that it names. An mtp.safetensors "
        "that it does not name is never loaded, and the draft model starts without weights."
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
                message=f"is not listed in {table.index_file}, so no runtime reads it",
                place=Place(file),
                advice="rebuild the index, or remove the file",
            )


@FAMILY.rule(
    "CKF505",
    "several shard files but no index",
    Severity.WARNING,
    why=(
        "Without an index, vLLM and SGLang read every .safetensors file in the directory, "
        "including leftover ones. transformers does not load a sharded checkpoint without an "
        "index."
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
            message=f"is missing, but the tensors are in {len(table.shard_files):,} shard files",
            place=Place(INDEX_FILE),
            advice="write the index",
        )


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
