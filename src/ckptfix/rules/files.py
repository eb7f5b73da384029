"""CKF5xx: the files of a checkpoint against each other."""

from collections.abc import Iterable, Iterator, Mapping
from sys import intern

from ckptfix.checkpoint.metadata import QUANT_CFG_FILE, MetadataFile
from ckptfix.checkpoint.shard_index import INDEX_FILE
from ckptfix.place import Place
from ckptfix.rules.coverage import decides
from ckptfix.rules.finding import Context, Finding, Severity, rule
from ckptfix.text import visible


@rule(
    "CKF502",
    "index and shard headers disagree",
    Severity.ERROR,
    why=(
        "The loader looks for a tensor in the shard file that the index names. A stale index "
        "leaves weights uninitialised or stops the load (vllm-project/vllm-omni issue 2517)."
    ),
    fix="Rebuild model.safetensors.index.json from the headers.",
)
def index_disagrees(context: Context) -> Iterable[Finding]:
    """Tensors that the index places where no header lists them, or does not place at all."""
    table = context.checkpoint.table
    if table.index_file is None:
        return
    for tensor, file in table.missing:
        elsewhere = table.file_of.get(tensor)
        where = f"it is in {elsewhere}" if elsewhere else "no shard file has it"
        yield Finding(
            "CKF502",
            tensor,
            intern(f"is placed in {file} by the index, and {where}"),
            Place(table.index_file, f"/weight_map/{visible(tensor)}"),
            "rebuild the index",
        )
    missing = {tensor for tensor, _ in table.missing}
    for tensor, file in table.unindexed:
        if tensor not in missing:
            yield Finding(
                "CKF502",
                tensor,
                f"is in {file} and the index does not place it there",
                Place(file, tensor=visible(tensor)),
                "rebuild the index",
            )


@rule(
    "CKF501",
    "config.json and hf_quant_config.json disagree",
    Severity.ERROR,
    why=(
        "vLLM and SGLang go by config.json, TensorRT-LLM by hf_quant_config.json: one of them "
        "builds what the tensors do not hold (vllm-project/vllm issue 25706 read the wrong list)."
    ),
    fix="Say the same in both files; ckptfix rewrite --from-tensors sets both right.",
    fixed_by="rewrite --from-tensors",
)
def files_disagree(context: Context) -> Iterable[Finding]:
    """Algorithm, entries and exclude patterns of the two files, whatever their spelling."""
    read = [m for m in context.checkpoint.metadata if m.file != QUANT_CFG_FILE and decides(m)]
    if len(read) < 2:
        return
    first, second = read[0], read[1]
    ours, theirs = first.quant_algo, second.quant_algo
    if (ours or "").upper() != (theirs or "").upper():
        yield _disagreement(
            first.file, first, f"says {_said(ours)}, {second.file} says {_said(theirs)}"
        )
        return
    if first.is_mixed:
        for module, (a, b) in _different(_named(context, first), _named(context, second)):
            yield _disagreement(
                module, first, f"is named as {_said(a)} here and {_said(b)} in {second.file}"
            )
    stored = context.checkpoint.unquantized_linears
    excluded_here, excluded_there = context.excluded(first), context.excluded(second)
    for module in stored if not first.is_mixed else ():
        if (module in excluded_here) != (module in excluded_there):
            here, there = ("", "not ") if module in excluded_here else ("not ", "")
            yield _disagreement(
                module, first, f"is {here}excluded here and {there}excluded in {second.file}"
            )


def _disagreement(subject: str, metadata: MetadataFile, message: str) -> Finding:
    advice = "run ckptfix rewrite --from-tensors"
    return Finding("CKF501", subject, message, metadata.place, advice)


def _said(quant_algo: str | None) -> str:
    return visible(quant_algo) if quant_algo else "nothing"


def _named(context: Context, metadata: MetadataFile) -> dict[str, str]:
    named: dict[str, str] = {}
    for entry in sorted(metadata.of_kind("entry"), key=lambda e: len(e.name)):
        for module in context.naming.read_name(entry.name).modules:
            named[module] = entry.quant_algo or ""
    return named


def _different(
    ours: Mapping[str, str], theirs: Mapping[str, str]
) -> Iterator[tuple[str, tuple[str, str]]]:
    for module in dict.fromkeys((*ours, *theirs)):
        a, b = ours.get(module, ""), theirs.get(module, "")
        if a.upper() != b.upper():
            yield module, (a, b)


@rule(
    "CKF503",
    "total_size in the index differs from the shard files",
    Severity.WARNING,
    why=(
        "The number is that of another export: tensors were added or left out after the index was "
        "written. Loaders do not stop at it, but whoever plans memory by it is wrong."
    ),
    fix="Rebuild model.safetensors.index.json from the headers.",
)
def total_size_differs(context: Context) -> Iterable[Finding]:
    """`metadata.total_size` against the bytes that the headers declare."""
    table = context.checkpoint.table
    if table.index_file is None or table.total_size in (None, table.nbytes):
        return
    yield Finding(
        "CKF503",
        "total_size",
        f"is {table.total_size:,} bytes in the index, the tensors have {table.nbytes:,} bytes",
        Place(table.index_file, "/metadata/total_size"),
        "rebuild the index",
    )


@rule(
    "CKF504",
    "shard file is not in the index",
    Severity.WARNING,
    why=(
        "With an index, runtimes read the files that it names and no other: an mtp.safetensors "
        "beside it is never loaded, and the drafter starts without weights."
    ),
    fix="Rebuild model.safetensors.index.json from the headers, or remove the file.",
)
def unlisted_file(context: Context) -> Iterable[Finding]:
    """`.safetensors` files that lie beside an index which does not name them."""
    table = context.checkpoint.table
    for file in table.unlisted_files:
        if not file.startswith("consolidated"):  # Mistral's own layout of the same weights
            yield Finding(
                "CKF504",
                file,
                f"is not named in {table.index_file}, so no runtime reads it",
                Place(file),
                "rebuild the index, or remove the file",
            )


@rule(
    "CKF505",
    "several shard files and no index",
    Severity.WARNING,
    why=(
        "vLLM and SGLang then read every .safetensors file beside config.json, a leftover one too; "
        "transformers loads no sharded checkpoint without the index."
    ),
    fix="Write model.safetensors.index.json from the headers.",
)
def no_index(context: Context) -> Iterable[Finding]:
    """More than one shard file, and nothing that says which tensor is in which."""
    table = context.checkpoint.table
    if table.lacks_index:
        yield Finding(
            "CKF505",
            INDEX_FILE,
            f"is missing, and the tensors lie in {len(table.shard_files):,} shard files",
            Place(INDEX_FILE),
            "write the index",
        )


@rule(
    "CKF506",
    "field of the metadata has another type than ModelOpt writes",
    Severity.WARNING,
    why=(
        'Each release makes of it what its own code does: vLLM 0.33.0 reads a group_size of "16" '
        "as 16 and SGLang 0.5.23 stops at it; vLLM stops at an ignore that is null or a string, "
        "and SGLang takes it for an empty list or for the letters."
    ),
    fix="Write the type that ModelOpt writes; check --runtime shows what a release makes of it.",
)
def wrong_type(context: Context) -> Iterable[Finding]:
    """Fields that are read as if they were not there."""
    for metadata in context.checkpoint.metadata:
        for fault in metadata.faults:
            yield Finding(
                "CKF506",
                fault.place.pointer or metadata.file,
                f"is not {fault.expected}, which is what ModelOpt writes",
                fault.place,
                f"write {fault.expected}",
            )
