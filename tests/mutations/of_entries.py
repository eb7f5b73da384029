"""Mutations of `quantized_layers` and of what is next to it."""

from random import Random
from typing import Any

from tests.mutations.editable import Editable
from tests.mutations.kind import FROM_TENSORS, kind, pick

NAMED_NOWHERE = "CKF105 CKF201 CKF203 CKF701"
DECLARED = {"FP8": "NVFP4", "NVFP4": "FP8"}


def _renamed(files: Editable, old: str, new: str) -> str:
    files.change_entries(lambda layers: {new if n == old else n: e for n, e in layers.items()})
    return new


@kind(NAMED_NOWHERE, repair=FROM_TENSORS)
def entry_gains_a_prefix(files: Editable, random: Random) -> str | None:
    old = pick(random, list(files.entries))
    return old and _renamed(files, old, f"base.{old}")


@kind(NAMED_NOWHERE, repair=FROM_TENSORS)
def entry_loses_its_prefix(files: Editable, random: Random) -> str | None:
    old = pick(random, list(files.entries))
    return old and _renamed(files, old, old.partition(".")[2])


@kind(NAMED_NOWHERE, repair=FROM_TENSORS)
def entry_has_a_typo(files: Editable, random: Random) -> str | None:
    old = pick(random, list(files.entries))
    if old is None:
        return None
    at = random.randrange(1, len(old))
    return _renamed(files, old, f"{old[:at]}x{old[at:]}")


@kind("CKF108", repair="rewrite")
def entry_has_a_sentinel_behind_a_nul_byte(files: Editable, random: Random) -> str | None:
    old = pick(random, list(files.entries))
    if old is None:
        return None
    _renamed(files, old, f"{old}.\0pt_name_sentinel")
    return old


@kind("CKF201 CKF203 CKF701", repair=FROM_TENSORS)
def entry_is_gone(files: Editable, random: Random) -> str | None:
    gone = pick(random, list(files.entries))
    if gone is None:
        return None
    files.change_entries(lambda layers: {n: e for n, e in layers.items() if n != gone})
    return gone


@kind("CKF201 CKF207 CKF702", repair=FROM_TENSORS)
def all_entries_are_gone(files: Editable, _random: Random) -> str | None:
    if not files.entries:
        return None
    for quantization in files.quantization:
        quantization.pop("quantized_layers", None)
        quantization.pop("config_groups", None)
    return ""


@kind("CKF302 CKF701", repair=FROM_TENSORS)
def entry_of_an_unquantized_module(files: Editable, random: Random) -> str | None:
    quantized = set(files.quantized_modules())
    bare = {name.rpartition(".")[0] for name in files.tensors if name.endswith("_proj.weight")}
    if not files.entries or (module := pick(random, list(bare - quantized))) is None:
        return None
    files.change_entries(lambda layers: {**layers, module: {"quant_algo": "FP8"}})
    return module


@kind("CKF105", repair=FROM_TENSORS)
def entry_of_no_module(files: Editable, random: Random) -> str | None:
    if (like := pick(random, list(files.entries))) is None:
        return None
    name = f"{like.rpartition('.')[0]}.phantom_proj"
    files.change_entries(lambda layers: {**layers, name: layers[like]})
    return name


def _changed(files: Editable, name: str, **fields: Any) -> str:
    def change(layers: dict[str, Any]) -> dict[str, Any]:
        return {n: {**e, **fields} if n == name else e for n, e in layers.items()}

    files.change_entries(change)
    return name


@kind("CKF303 CKF203 CKF701", repair=FROM_TENSORS)
def entry_has_the_other_algo(files: Editable, random: Random) -> str | None:
    entries = files.entries
    name = pick(random, [n for n, e in entries.items() if e["quant_algo"] in DECLARED])
    return name and _changed(files, name, quant_algo=DECLARED[entries[name]["quant_algo"]])


@kind("CKF303 CKF701", repair=FROM_TENSORS)
def entry_has_an_algo_of_no_release(files: Editable, random: Random) -> str | None:
    name = pick(random, list(files.entries))
    return name and _changed(files, name, quant_algo="W3A3")


@kind("CKF304", repair=FROM_TENSORS)
def entry_has_another_group_size(files: Editable, random: Random) -> str | None:
    name = pick(random, [n for n, e in files.entries.items() if "group_size" in e])
    return name and _changed(files, name, group_size=64)


@kind("CKF201 CKF501", repair=FROM_TENSORS)
def entry_is_gone_from_one_file(files: Editable, random: Random) -> str | None:
    second = files.documents.get("hf_quant_config.json", {}).get("quantization", {})
    gone = pick(random, list(second.get("quantized_layers", {})))
    if gone is None or len(files.quantization) < 2:
        return None
    del second["quantized_layers"][gone]
    return gone


@kind("CKF303 CKF501 CKF701", repair=FROM_TENSORS)
def entry_differs_between_the_files(files: Editable, random: Random) -> str | None:
    second = files.documents.get("hf_quant_config.json", {}).get("quantization", {})
    layers = second.get("quantized_layers", {})
    name = pick(random, [n for n, e in layers.items() if e["quant_algo"] in DECLARED])
    if name is None or len(files.quantization) < 2:
        return None
    layers[name]["quant_algo"] = DECLARED[layers[name]["quant_algo"]]
    return name
