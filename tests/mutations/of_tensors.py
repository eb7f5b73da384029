"""Mutations of what the shard files hold; the metadata stay as they are."""

import math
import re
from collections import Counter
from dataclasses import replace
from random import Random

from tests.mutations.editable import Editable, StoredTensor
from tests.mutations.kind import FROM_TENSORS, kind, pick

WIDTHS = {"F8_E4M3": 1, "U8": 1, "I8": 1, "BF16": 2, "F16": 2, "F32": 4}


def made(dtype: str, *shape: int) -> StoredTensor:
    """A tensor of zeros."""
    return StoredTensor(dtype, shape, bytes(WIDTHS[dtype] * math.prod(shape)))


def _with(files: Editable, end: str, dtype: str | None = None) -> list[str]:
    return [
        name
        for name, tensor in files.tensors.items()
        if name.endswith(end) and dtype in (None, tensor.dtype)
    ]


def _module(tensor: str) -> str:
    return tensor.rpartition(".")[0]


def _dropped(files: Editable, name: str | None) -> str | None:
    if name is None:
        return None
    files.drop_tensor(name)
    return _module(name)


@kind("CKF301")
def weight_scale_is_gone(files: Editable, random: Random) -> str | None:
    return _dropped(files, pick(random, _with(files, ".weight_scale")))


@kind("CKF301 CKF303")
def weight_scale_2_is_gone(files: Editable, random: Random) -> str | None:
    return _dropped(files, pick(random, _with(files, ".weight_scale_2")))


@kind("CKF301 CKF303 CKF306")
def input_scale_is_gone(files: Editable, random: Random) -> str | None:
    return _dropped(files, pick(random, _with(files, ".input_scale")))


@kind("CKF301")
def weight_is_gone(files: Editable, random: Random) -> str | None:
    module = pick(random, files.quantized_modules())
    return _dropped(files, module and f"{module}.weight")


def _modules_with_a_like(files: Editable) -> list[str]:
    """Quantized modules that another layer has too: nobody misses the only one of its kind."""
    modules = files.quantized_modules()
    kinds = {module: re.sub(r"\d+", "#", module) for module in modules}
    counts = Counter(kinds.values())
    blocks = Counter(_module(module) for module in modules)
    return [m for m in modules if counts[kinds[m]] > 1 and blocks[_module(m)] > 1]


@kind("CKF105 CKF208 CKF209")
def module_is_gone(files: Editable, random: Random) -> str | None:
    module = pick(random, _modules_with_a_like(files))
    if module is None:
        return None
    for name in files.parts_of(module):
        files.drop_tensor(name)
    return module


@kind("CKF403")
def k_scale_is_gone(files: Editable, random: Random) -> str | None:
    dropped = _dropped(files, pick(random, _with(files, ".k_scale")))
    return dropped and _module(dropped)


@kind("CKF301 CKF303")
def weight_scale_has_another_dtype(files: Editable, random: Random) -> str | None:
    name = pick(random, _with(files, ".weight_scale", "F8_E4M3"))
    if name is None:
        return None
    shape = files.tensors[name].shape
    files.replace_tensor(name, made("F32", *shape))
    return _module(name)


@kind("CKF301 CKF303 CKF304")
def weight_scale_is_half_as_wide(files: Editable, random: Random) -> str | None:
    name = pick(random, _with(files, ".weight_scale", "F8_E4M3"))
    if name is None:
        return None
    *rest, columns = files.tensors[name].shape
    files.replace_tensor(name, made("F8_E4M3", *rest, columns // 2))
    return _module(name)


@kind("CKF301 CKF303")
def weight_scale_is_transposed(files: Editable, random: Random) -> str | None:
    tensors = files.tensors
    wide = [n for n in _with(files, ".weight_scale") if len(set(tensors[n].shape)) > 1]
    if (name := pick(random, wide)) is None:
        return None
    files.replace_tensor(name, replace(tensors[name], shape=tensors[name].shape[::-1]))
    return _module(name)


@kind("CKF301 CKF303")
def weight_is_half_as_wide(files: Editable, random: Random) -> str | None:
    name = pick(random, _with(files, ".weight", "U8"))
    if name is None:
        return None
    *rest, columns = files.tensors[name].shape
    files.replace_tensor(name, made("U8", *rest, columns // 2))
    return _module(name)


@kind("CKF301 CKF303")
def weight_has_another_dtype(files: Editable, random: Random) -> str | None:
    module = pick(random, files.quantized_modules())
    if module is None:
        return None
    weight = files.tensors[f"{module}.weight"]
    other = "I8" if weight.dtype != "I8" else "BF16"
    files.replace_tensor(f"{module}.weight", made(other, *weight.shape))
    return module


@kind("CKF301 CKF303")
def scale_of_fp8_is_a_matrix(files: Editable, random: Random) -> str | None:
    tensors = files.tensors
    plain = [n for n in _with(files, ".weight_scale", "F32") if not tensors[n].shape]
    if (name := pick(random, plain)) is None:
        return None
    files.replace_tensor(name, made("F32", 3, 5))
    return _module(name)


@kind("CKF203 CKF302 CKF206 CKF701", repair=FROM_TENSORS)
def whole_block_is_stored_unquantized(files: Editable, random: Random) -> str | None:
    """Every quantized module next to one, so that no packed module is torn."""
    module = pick(random, [m for m in files.quantized_modules() if ".experts." not in m])
    if module is None:
        return None
    block = _module(module)
    for one in [m for m in files.quantized_modules() if _module(m) == block]:
        _store_unquantized(files, one)
    return block


@kind("CKF203 CKF208 CKF302 CKF206 CKF701")
def one_member_is_stored_unquantized(files: Editable, random: Random) -> str | None:
    packed = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")
    module = pick(random, [m for m in files.quantized_modules() if m.endswith(packed)])
    if module is None:
        return None
    _store_unquantized(files, module)
    return module


def _store_unquantized(files: Editable, module: str) -> None:
    weight = files.tensors[f"{module}.weight"]
    rows, columns = weight.shape
    for name in files.parts_of(module):
        if name.rpartition(".")[2] in ("weight_scale", "weight_scale_2", "input_scale"):
            files.drop_tensor(name)
    shape = (rows, columns * 2) if weight.dtype == "U8" else (rows, columns)
    files.replace_tensor(f"{module}.weight", made("BF16", *shape))


@kind("CKF201 CKF205 CKF303 CKF701", repair=FROM_TENSORS)
def head_is_stored_quantized(files: Editable, random: Random) -> str | None:
    weight = pick(random, _with(files, "lm_head.weight", "BF16"))
    if weight is None:
        return None
    files.replace_tensor(weight, made("F8_E4M3", *files.tensors[weight].shape))
    for scale in ("weight_scale", "input_scale"):
        files.add_tensor(f"{_module(weight)}.{scale}", made("F32"), weight)
    return _module(weight)


@kind("CKF105 CKF201 CKF206 CKF208 CKF209")
def tensors_of_a_module_have_a_typo(files: Editable, random: Random) -> str | None:
    module = pick(random, _modules_with_a_like(files))
    if module is None:
        return None
    wrong = f"{_module(module)}.x{module.rpartition('.')[2]}"
    for name in files.parts_of(module):
        files.rename_tensor(name, f"{wrong}.{name.rpartition('.')[2]}")
    return module.rpartition(".")[2]


@kind("CKF208")
def expert_lacks_a_projection(files: Editable, random: Random) -> str | None:
    module = pick(random, [m for m in files.quantized_modules() if ".experts." in m])
    if module is None:
        return None
    for name in files.parts_of(module):
        files.drop_tensor(name)
    return module.partition(".experts.")[0]


@kind("CKF109", repair="rewrite --tensors")
def embedding_has_the_name_of_another_export(files: Editable, random: Random) -> str | None:
    name = pick(random, _with(files, "backbone.embeddings.weight"))
    if name is None:
        return None
    files.rename_tensor(name, name.replace("embeddings", "embedding"))
    return _module(name).removesuffix("s")


@kind("CKF308", repair="rewrite --tensors")
def expert_number_stands_last(files: Editable, _random: Random) -> str | None:
    """`experts.0.up_proj` becomes `experts.up_proj.0`, throughout."""
    changed = False
    for name in files.tensors:
        before, experts, rest = name.partition(".experts.")
        number, _, projection = rest.partition(".")
        if experts and number.isdigit():
            part, _, end = projection.rpartition(".")
            files.rename_tensor(name, f"{before}.experts.{part}.{number}.{end}")
            changed = True
    return "experts" if changed else None
