"""The same model quantized by ModelOpt: which of its modules load as FP8 and as NVFP4.

A class may drop the quantization config by its name, and its loader may know the weights only:
what was learned of unquantized tensors does not say so. So every class is built with the runtime's
real quantization configs, and is given the tensors that ModelOpt writes for each.
"""

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from place_learner import repair
from place_learner.masks import mask
from place_learner.variants import Config
from runtime_probe import built as built_models
from runtime_probe import trace
from runtime_probe.texts import short
from runtime_probe.trace import Tensors

GROUP: Final = 16
"""Values of the input dimension for each NVFP4 scale."""
PASSES: Final = ("FP8", "NVFP4", "MIXED_PRECISION")
_ROUNDS: Final = 3
_ROUTER: Final = re.compile(r"(^|\.)(gate|router|shared_expert_gate|gate_proj_router)(\.|$)")
_TOWER: Final = re.compile(
    r"(^|\.)\w*(visual|vision|image|audio|sound|speech|projector|projection|mlp1|aligner"
    r"|connector|merger|abstractor|resampler|encoder)\w*(\.|$)"
)
_MADE_AFTERWARDS: Final = "_blockscale_swizzled"
"""End of a parameter of SGLang that is made of the block scales once all tensors are loaded."""
_SCALES: Final = {
    "FP8": ("weight_scale", "input_scale"),
    "NVFP4": ("weight_scale", "weight_scale_2", "input_scale"),
}
Module = str
Algorithms = dict[Module, str]


def learn(
    runtime: Any, architecture: str, config: Config, base: Mapping[str, Any], stored: Tensors
) -> list[dict[str, Any]]:
    """What each pass came to.

    Args:
        runtime: see `learning`.
        architecture: as it is registered.
        config: what the unquantized model was built with.
        base: `modules` and `load` of that model.
        stored: the tensors that were loaded into it.
    """
    model = _Model(runtime, architecture, config, base, stored)
    out = [_learn_one(model, algo) for algo in PASSES]
    if not out[0]["error"]:
        out.append(_attention_scales(model, out[0]))
    return out


def only(passes: list[dict[str, Any]], matrices: set[str]) -> Iterator[dict[str, Any]]:
    """What passes show of these matrices, masked, that another config did not have."""
    for run in passes:
        if run["quant_algo"] in PASSES:
            proved = [m for m in run.get("proved", ()) if f"{m}.weight" in matrices]
            yield {**run, "proved": proved}


@dataclass(frozen=True)
class _Model:
    """What is known of the unquantized model."""

    runtime: Any
    architecture: str
    config: Config
    base: Mapping[str, Any]
    stored: Tensors

    def load(self, metadata: dict[str, Any], tensors: Tensors) -> tuple[Any, Any, Any]:
        """The model built with this metadata, its modules, and what became of the tensors."""
        try:
            built = self._built(metadata)
        except ValueError as error:
            # SGLang before 0.5.10 reads `modelopt` as FP8, and NVFP4 only under its own name.
            if "use ModelOptFp4Config" not in str(error) or metadata["quant_algo"] != "NVFP4":
                raise
            built = self._built({**metadata, "quant_method": "modelopt_fp4"})
        modules = built_models.modules(built, self.runtime.kinds)
        return built, modules, trace.load(built, tensors)

    def _built(self, metadata: dict[str, Any]) -> Any:
        extra = {"quantization_config": metadata}
        config = copy.deepcopy(self.config)
        return repair.build(self.runtime, config, self.architecture, extra, repair.Notes())

    @cached_property
    def places(self) -> Mapping[Module, str]:
        """Module -> the place that its weight goes to, of those that ModelOpt may quantize."""
        at = {row["place"]: row for row in self.base["modules"]}
        out = {}
        for name, reached in self.base["load"]["lands"].items():
            module, _, leaf = name.rpartition(".")
            place = reached[0][0].rpartition(".")[0] if reached else ""
            row = at.get(place)
            shape = self.stored[name].shape
            fits = leaf == "weight" and len(shape) == 2 and shape[1] % GROUP == 0
            if row and _is_quantized(row) and fits and not _ROUTER.search(module):
                out[module] = place
        return out


def _is_quantized(row: Mapping[str, Any]) -> bool:
    """A head that asks without a name cannot be excluded."""
    kinds = ("linear", "experts", "head") if row["asked"] == [""] else ("linear", "experts")
    return bool(row["asked"]) and row["kind"] in kinds


def _learn_one(model: _Model, algo: str) -> dict[str, Any]:
    chosen = list(model.places)
    out: dict[str, Any] = {"quant_algo": algo, "error": "nothing to quantize", "failed": {}}
    for _ in range(_ROUNDS):
        if not chosen:
            break
        algos = {module: _algorithm(algo, module) for module in chosen}
        tensors = with_scales(model.stored, algos)
        try:
            metadata = _metadata(algo, algos, _others(model.base, algos))
            built, modules, loaded = model.load(metadata, tensors)
        except Exception as error:
            out["error"] = short(error)
            kept = [m for m in chosen if not _TOWER.search(m)]
        else:
            out["quant_name"] = built.quant_name
            out["dropped"] = sorted(set(_dropped(model.base["modules"], modules)))
            failed = _failed(loaded, algos)
            out["failed"].update(failed)
            if not failed and loaded["single_pass"]:
                proved = sorted({mask(m) for m in chosen})
                return {**out, "error": "", "proved": proved, "algos": algos}
            out["error"] = loaded["errors"].get("*") or "some modules do not load"
            bad = {mask(model.places[m]) for m in chosen if mask(m) in out["failed"]}
            kept = [m for m in chosen if mask(model.places[m]) not in bad]
        if kept == chosen:
            break
        chosen = kept
    return out


def _attention_scales(model: _Model, proved: Mapping[str, Any]) -> dict[str, Any]:
    """Whether scales of the attention cache are loaded, with FP8 weights that are."""
    import torch

    algos = proved["algos"]
    tensors = with_scales(model.stored, algos)
    added = []
    for name in model.stored:
        for part, leaf in (("k_proj", "k_scale"), ("v_proj", "v_scale")):
            if name.endswith(f".{part}.weight") and not _TOWER.search(name):
                added.append(f"{name.removesuffix('weight')}{leaf}")
    out: dict[str, Any] = {"quant_algo": "KV", "error": "no k_proj", "failed": {}}
    if not added:
        return out
    for name in added:
        tensors[name] = torch.empty((), dtype=torch.float32, device="meta")
    metadata = _metadata("FP8", algos, _others(model.base, algos))
    metadata["kv_cache_scheme"] = {"dynamic": False, "num_bits": 8, "type": "float"}
    try:
        _, _, loaded = model.load(metadata, tensors)
    except Exception as error:
        return {**out, "error": short(error)}
    lost = [name for name in added if not loaded["lands"].get(name)]
    why = loaded["errors"].get("*") or (f"{lost[0]} goes nowhere" if lost else "")
    return {**out, "error": why}


def _algorithm(algo: str, module: Module) -> str:
    """Mixed precision: attention in FP8, the rest in NVFP4."""
    if algo != "MIXED_PRECISION":
        return algo
    return "FP8" if "attn" in module or "attention" in module else "NVFP4"


def with_scales(stored: Tensors, algos: Algorithms) -> Tensors:
    """The tensors as ModelOpt stores them.

    FP8: codes of the weight's shape, scales without dimensions. NVFP4: two codes a byte, one FP8
    scale for 16 values, two FP32 scales without dimensions.
    """
    import torch

    out: Tensors = {}
    for name, tensor in stored.items():
        module = name.removesuffix(".weight")
        algo = algos.get(module) if module != name else None
        if algo is None:
            out[name] = tensor
            continue
        rows, columns = tensor.shape
        scalar: dict[str, Any] = {"size": (), "dtype": torch.float32, "device": "meta"}
        if algo == "FP8":
            out[name] = torch.empty(tensor.shape, dtype=torch.float8_e4m3fn, device="meta")
            out[f"{module}.weight_scale"] = torch.empty(**scalar)
        else:
            codes, scales = (rows, columns // 2), (rows, columns // GROUP)
            out[name] = torch.empty(codes, dtype=torch.uint8, device="meta")
            made = torch.empty(scales, dtype=torch.float8_e4m3fn, device="meta")
            out[f"{module}.weight_scale"] = made
            out[f"{module}.weight_scale_2"] = torch.empty(**scalar)
        out[f"{module}.input_scale"] = torch.empty(**scalar)
    return out


def _others(base: Mapping[str, Any], algos: Algorithms) -> list[str]:
    """What the metadata must exclude, as the checkpoint calls it and as the runtime does."""
    at = {row["place"]: row for row in base["modules"]}
    out: dict[str, None] = {}
    for name, reached in base["load"]["lands"].items():
        module = name.removesuffix(".weight")
        for parameter, _ in reached if module not in algos and module != name else ():
            row = at.get(parameter.rpartition(".")[0])
            out.setdefault(module)
            out.update(dict.fromkeys(filter(None, (row or {}).get("asked") or ())))
    return list(out)


def _metadata(algo: str, algos: Algorithms, others: list[str]) -> dict[str, Any]:
    """`quantization_config` as ModelOpt 0.47 writes it."""
    out: dict[str, Any] = {"quant_method": "modelopt", "quant_algo": algo, "ignore": others}
    out["producer"] = {"name": "modelopt", "version": "0.47.0"}
    if algo == "MIXED_PRECISION":
        rows: dict[str, dict[str, Any]] = {"FP8": {"quant_algo": "FP8"}}
        rows["NVFP4"] = {"quant_algo": "NVFP4", "group_size": GROUP}
        out["quantized_layers"] = {module: rows[own] for module, own in algos.items()}
        return out
    bits: dict[str, Any] = {"dynamic": False, "num_bits": 8, "type": "float"}
    if algo == "NVFP4":
        bits = {**bits, "num_bits": 4, "group_size": GROUP}
    group = {"input_activations": bits, "weights": bits, "targets": ["Linear"]}
    return {**out, "config_groups": {"group_0": group}}


def _dropped(plain: list[Any], quantized: list[Any]) -> Iterator[str]:
    """Places, masked, that query a recorder, and do not query this config."""
    asked = {row["place"] for row in quantized if row["asked"]}
    layers = ("linear", "experts", "head")
    for row in plain:
        if row["asked"] and row["kind"] in layers and row["place"] not in asked:
            yield mask(row["place"])


def _failed(loaded: Mapping[str, Any], algos: Algorithms) -> dict[str, str]:
    """Masked checkpoint module -> why it does not load quantized."""
    lacking = (name for name in loaded["never_written"] if not name.endswith(_MADE_AFTERWARDS))
    unwritten = {name.rpartition(".")[0] for name in lacking}
    out = {}
    for module, algo in algos.items():
        for leaf in ("weight", *_SCALES[algo]):
            name = f"{module}.{leaf}"
            reached = loaded["lands"].get(name)
            if not reached:
                out[mask(module)] = f"{leaf}: {loaded['errors'].get(name, 'goes nowhere')}"
                break
            if any(parameter.rpartition(".")[0] in unwritten for parameter, _ in reached):
                out[mask(module)] = "leaves parameters unwritten"
                break
    return out
