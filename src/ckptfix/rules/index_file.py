"""CKF5xx: the index compared with the headers of the shard files."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from sys import intern
from typing import Final

from ckptfix.checkpoint.mistral import OWN_SHARDS
from ckptfix.checkpoint.shard_index import INDEX_FILE
from ckptfix.checkpoint.tensor_table import TensorTable
from ckptfix.place import Place
from ckptfix.rules.context import Context
from ckptfix.rules.finding import Family, Finding, Related, Severity
from ckptfix.text import visible

FAMILY: Final = Family("CKF5", "files and index")
MOST_LISTED: Final = 10_000
"""Tensors reported individually; a stale index may have a million with one cause."""
_REBUILD: Final = "rebuild the index"


@FAMILY.rule(
    "CKF502",
    "index and shard headers disagree",
    Severity.ERROR,
    why=(
        "vLLM and SGLang only take file names from the index and read every tensor of those "
        "files (vLLM 0.33.0 and SGLang 0.5.23, filter_duplicate_safetensors_files in "
        "weight_utils.py), so a wrong row alone stops neither. transformers and other tools look "
        "tensors up in the index (vllm-project/vllm-omni issue 2517), and a tensor that only the "
        "index has may be lost."
    ),
    fix="Rebuild model.safetensors.index.json from the headers.",
    since="0.1.0",
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
    """Tensors that the index places where no header lists them, and second copies of tensors."""
    table = context.checkpoint.table
    if table.index_file is None:
        return
    yield from _placed_wrongly(context, table, table.index_file)
    missing = {tensor for tensor, _ in table.missing}
    twice = [(t, f) for t, f in table.unindexed if table.file_of[t] != f and t not in missing]
    yield from _not_placed(context, twice)


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
    message = "lists {:,} more tensors in files whose headers do not contain them"
    yield from _more(context, index, len(table.missing), message)


def _not_placed(context: Context, copies: Sequence[tuple[str, str]]) -> Iterator[Finding]:
    for tensor, file in copies[:MOST_LISTED]:
        yield context.finding(
            subject=tensor,
            message=f"is also in {file}, where the index does not place it: runtimes read both",
            place=Place(file, tensor=visible(tensor)),
            advice=_REBUILD,
        )
    message = "does not place {:,} more tensors in all files that contain them"
    yield from _more(context, INDEX_FILE, len(copies), message)


def _more(context: Context, index: str, number: int, message: str) -> Iterator[Finding]:
    """One finding for all tensors beyond the first `MOST_LISTED`; `message` has their number."""
    more = number - MOST_LISTED
    if more > 0:
        yield context.finding(
            subject=index,
            message=message.format(more),
            place=Place(index, "/weight_map"),
            advice=_REBUILD,
            count=more,
        )


@FAMILY.rule(
    "CKF507",
    "index does not list all tensors of a shard file",
    Severity.WARNING,
    why=(
        "vLLM and SGLang only take file names from the index and read every tensor of those "
        "files (vLLM 0.33.0 and SGLang 0.5.23, filter_duplicate_safetensors_files in "
        "weight_utils.py), so they load the checkpoint. Tools that look tensors up in the index "
        "do not find these: NVIDIA's script for DeepSeek wrote an index without scales."
    ),
    fix="Rebuild model.safetensors.index.json from the headers.",
    since="0.2.0",
    example="""
    model-00001-of-00002.safetensors
      layers.0.mlp.gate stored as BF16
    model-00002-of-00002.safetensors
      lm_head stored as BF16
      norm stored as BF16
    model.safetensors.index.json
      "weight_map": {
        "layers.0.mlp.gate.weight": "model-00001-of-00002.safetensors",
    +   "norm.weight": "model-00002-of-00002.safetensors",
        "lm_head.weight": "model-00002-of-00002.safetensors"
      }
    """,
)
def index_lacks_tensors(context: Context) -> Iterable[Finding]:
    """Tensors that are missing from the index, one finding per file."""
    table = context.checkpoint.table
    missing = {tensor for tensor, _ in table.missing}
    lacking: dict[str, list[str]] = {}
    for tensor, file in table.unindexed:
        if table.file_of[tensor] == file and tensor not in missing:
            lacking.setdefault(file, []).append(tensor)
    for file, tensors in sorted(lacking.items()):
        s = "" if len(tensors) == 1 else "s"
        yield context.finding(
            subject=file,
            message=f"contains {len(tensors):,} tensor{s} that the index does not list, such as "
            f"{visible(tensors[0])}; vLLM and SGLang read them anyway",
            place=Place(file, tensor=visible(tensors[0])),
            advice=_REBUILD,
        )


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
    """`metadata.total_size` compared with the bytes that the headers declare."""
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
    """`.safetensors` files that the index does not list."""
    table = context.checkpoint.table
    for file in table.unlisted_files:
        if not OWN_SHARDS.covers(file):  # the same weights in Mistral's own format
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
    """Several shard files without an index."""
    table = context.checkpoint.table
    if table.lacks_index:
        yield context.finding(
            subject=INDEX_FILE,
            message=f"is missing, but the tensors are in {len(table.shard_files):,} shard files",
            place=Place(INDEX_FILE),
            advice="write the index",
        )
