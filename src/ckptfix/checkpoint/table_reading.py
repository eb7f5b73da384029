"""The shard index and all headers -> a table of tensors."""

import re
from collections import deque
from collections.abc import Mapping
from itertools import chain, count, repeat
from operator import attrgetter, eq
from typing import Final

from msgspec.structs import replace

from ckptfix.checkpoint.mistral import OWN_SHARDS, OWN_SINGLE_FILE
from ckptfix.checkpoint.other_folders import require_weights
from ckptfix.checkpoint.safetensors import Header, Layouts, RawHeader, fetch_header, read_header
from ckptfix.checkpoint.shard_index import SHARDS, ShardNames, read_index
from ckptfix.checkpoint.source import Source
from ckptfix.checkpoint.tensor_table import TensorTable
from ckptfix.errors import CkptfixError, MissingShardsError
from ckptfix.place import Place
from ckptfix.progress import SILENT, Listener, Step
from ckptfix.text import visible

MOST_READS: Final = 16
"""Headers read concurrently: remote reads wait for the network, not for this machine."""
_BATCH: Final = 4 * MOST_READS
"""Undecoded headers kept in memory; with a million tensors, 0.6 MB each."""
_PART: Final = re.compile(r".*-(?P<part>\d{5})-of-(?P<total>\d{5})\.safetensors")


def read_tensors(
    source: Source, listener: Listener = SILENT, *, shards: ShardNames = SHARDS
) -> TensorTable:
    """The table of all tensors, by the index if there is one.

    Without an index: every `*.safetensors` file, also beside `model.safetensors` (vllm 0.33.0,
    vllm/model_executor/model_loader/default_loader.py, and sglang 0.5.23,
    sglang/srt/model_loader/loader.py, `_prepare_weights`).
    """
    index_file = shards.index_file
    index = read_index(source, index_file) if source.has(index_file) else None
    stored = [name for name in source.names() if shards.covers(name)]
    if index is not None:
        files = sorted(set(index.weight_map.values()))
    elif shards.single_file in stored:
        others = [f for f in stored if f != shards.single_file]
        # sglang 0.5.8 to 0.5.23, sglang/srt/model_loader/weight_utils.py
        # `filter_duplicate_safetensors_files`; vLLM reads the other one: `read_consolidated`.
        files = [shards.single_file, *(others if others != [OWN_SINGLE_FILE] else ())]
    else:
        files = stored
        if not files:
            require_weights(source)
            raise _no_safetensors(source)
        _require_all_parts(source, files, index_file)
    headers = _read_headers(source, files, listener)
    if index is None:
        return _joined(headers, index_file, whole=shards.single_file)
    return replace(
        _indexed(headers, index.weight_map, index_file),
        unlisted_files=tuple(sorted(set(stored) - set(files))),
        total_size=index.total_size,
    )


def read_consolidated(
    source: Source, table: TensorTable, listener: Listener = SILENT
) -> TensorTable | None:
    """The tensors of Mistral's own shard files where these, read alone, hold others than the table.

    vLLM reads them alone if there are any, whatever the format of the config is, and SGLang where
    no file is called `model*.safetensors` (vllm 0.15.0 to 0.33.0, `_prepare_weights` as above;
    sglang 0.5.12 to 0.5.23, `is_mistral_native_format` in sglang/srt/arg_groups/model_path_hook.py,
    in server_args.py before 0.5.19).
    """
    files = {name for name in source.names() if OWN_SHARDS.covers(name)}
    if not files or (files == set(table.shard_files) and not source.has(OWN_SHARDS.index_file)):
        return None
    own = read_tensors(source, listener, shards=OWN_SHARDS)
    return own if own.tensors != table.tensors else None


def _read_headers(source: Source, files: list[str], listener: Listener) -> dict[str, Header]:
    """Fetch in threads, decode in this one: decoding in several threads at once is slower."""
    layouts = Layouts()
    headers: dict[str, Header] = {}
    done = count(1)

    def fetch(file: str) -> RawHeader:
        raw = fetch_header(source, file)
        listener.step(Step("reading headers", source.where, next(done), len(files)))
        return raw

    listener.step(Step("reading headers", source.where, 0, len(files)))
    if len(files) == 1:
        return {file: read_header(fetch(file), layouts) for file in files}
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - 4 ms, not for one file

    with ThreadPoolExecutor(MOST_READS) as pool:
        try:
            for first in range(0, len(files), _BATCH):
                batch = files[first : first + _BATCH]
                fetched = deque(pool.map(fetch, batch))
                while fetched:
                    raw = fetched.popleft()
                    headers[raw.file] = read_header(raw, layouts)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return headers


def _require_all_parts(source: Source, files: list[str], index_file: str) -> None:
    """Refuse a part of a sharded checkpoint: without an index, only the file names show it."""
    parts = [match for file in files if (match := _PART.fullmatch(file))]
    for total in {match["total"] for match in parts}:
        here = {match["part"] for match in parts if match["total"] == total}
        if len(here) < int(total):
            raise CkptfixError(
                f"{source.where}: no {index_file}; the file names declare {int(total)} "
                f"shards, but only {len(here)} are present",
                advice="add the missing files, or the index",
            )


def _joined(headers: dict[str, Header], index_file: str, *, whole: str) -> TensorTable:
    """Without an index, nothing decides between two copies of a tensor.

    Equal ones count once beside the file with the whole checkpoint, and in Mistral's own files
    beside others: all of them are loaded.
    """
    if len(headers) > 1:
        headers = _copies_once(headers, whole)
    file_of: dict[str, str] = {}
    for file, header in headers.items():
        for name in file_of.keys() & header.keys():
            raise CkptfixError(
                f"also stored in {file_of[name]}",
                place=Place(file, tensor=visible(name)),
                advice=f"remove one of the files, or add {index_file}",
            )
        file_of |= dict.fromkeys(header, file)
    return TensorTable(headers, _bytes_of(headers))


def _copies_once(headers: dict[str, Header], whole: str) -> dict[str, Header]:
    first = headers.get(whole, {})
    others: Header = {}
    if any(map(OWN_SHARDS.covers, headers)):
        theirs = (header for file, header in headers.items() if not OWN_SHARDS.covers(file))
        others = dict(chain.from_iterable(header.items() for header in theirs))
    rest = {
        file: _without(header, others if OWN_SHARDS.covers(file) else first)
        for file, header in headers.items()
        if file != whole
    }
    kept = {file: header for file, header in rest.items() if header}
    return {whole: first, **kept} if whole in headers else kept


def _without(header: Header, known: Header) -> Header:
    """The tensors that are not known, or known with another dtype or shape."""
    return {name: tensor for name, tensor in header.items() if known.get(name) != tensor}


def _indexed(
    headers: dict[str, Header], weight_map: Mapping[str, str], index_file: str
) -> TensorTable:
    if _agree(headers, weight_map):
        return TensorTable(headers, _bytes_of(headers), index_file)
    missing = [(n, f) for n, f in weight_map.items() if n not in headers[f]]
    unindexed = [(n, f) for f, header in headers.items() for n in header if weight_map.get(n) != f]
    chosen = _chosen(headers, weight_map)
    table = TensorTable(chosen, _bytes_of(chosen), index_file, tuple(missing), tuple(unindexed))
    _refuse_other_copies(table, headers)
    return table


def _refuse_other_copies(table: TensorTable, headers: Mapping[str, Header]) -> None:
    """A tensor with two dtypes or shapes: runtimes load both, and which one counts is not known."""
    for name, file in table.unindexed:
        first = table.file_of[name]
        if headers[file][name] != table.headers[first][name]:
            raise CkptfixError(
                f"also stored in {first}, with another dtype or shape",
                place=Place(file, tensor=visible(name)),
                advice="remove one of the two",
            )


def _agree(headers: Mapping[str, Header], weight_map: Mapping[str, str]) -> bool:
    """True if the index and the headers list the same tensors in the same files."""
    if sum(map(len, headers.values())) != len(weight_map):
        return False
    if all(map(eq, weight_map, chain.from_iterable(headers.values()))):  # in the same order
        files = chain.from_iterable(repeat(file, len(header)) for file, header in headers.items())
        return all(map(eq, weight_map.values(), files))
    return all(
        list(map(weight_map.get, header)).count(file) == len(header)
        for file, header in headers.items()
    )


def _chosen(headers: Mapping[str, Header], weight_map: Mapping[str, str]) -> dict[str, Header]:
    """Each tensor once: of two copies, the one that the index names, otherwise the first."""
    file_of: dict[str, str] = {}
    for file, header in headers.items():
        for name in header:
            if name not in file_of or weight_map.get(name) == file:
                file_of[name] = file
    return {
        file: {name: tensor for name, tensor in header.items() if file_of[name] == file}
        for file, header in headers.items()
    }


def _bytes_of(headers: Mapping[str, Header]) -> int:
    stored = chain.from_iterable(header.values() for header in headers.values())
    return sum(map(attrgetter("nbytes"), stored))


def _no_safetensors(source: Source) -> MissingShardsError:
    return MissingShardsError(
        f"{source.where}: no .safetensors file",
        advice="ckptfix compares metadata with tensors, so it needs the shard files as well",
    )
