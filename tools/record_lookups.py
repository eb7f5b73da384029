"""Record what the lookup functions of a SGLang release answer about other quantizers' metadata.

    ORACLE_SGLANG_ROOT=DIR PYTHON tools/record_lookups.py VERSION CASES OUT [EVERY]

DIR is the unpacked wheel, PYTHON the oracle's own interpreter (../shared/oracle/sglang/README.md).
CASES holds cases of any release (tests/data/quantizers/lookups.jsonl.gz); each EVERY-th is asked
again: the names are mapped by the release's own mapper class with the rules of our profile, and the
answers are those of its functions. OUT is what tools/conformance.py replays. Only what decides by
name is called: a layer is an instance of its class that was never built.
"""

import gzip
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT.parent / "shared" / "oracle" / "sglang"))
sys.path.insert(0, str(ROOT / "src"))

FLOAT_BITS: Final = 16
EXPERT_PARTS: Final = ("gate_proj", "up_proj", "down_proj")


class Release:
    """The classes of the imported release."""

    def __init__(self, version: str) -> None:
        from ckptfix.runtimes.profile_store import load_profile

        self.profile = load_profile("sglang", version)
        from sglang.srt.layers.linear import ReplicatedLinear
        from sglang.srt.layers.moe.fused_moe_triton import FusedMoE
        from sglang.srt.layers.vocab_parallel_embedding import (
            ParallelLMHead,
            VocabParallelEmbedding,
        )

        self.classes = {
            "linear": ReplicatedLinear,
            "moe": FusedMoE,
            "lm_head": ParallelLMHead,
            "embedding": VocabParallelEmbedding,
        }

    def layer(self, kind: str) -> Any:
        """A layer of a kind, never built."""
        return object.__new__(self.classes[kind])

    def packed(self, architecture: str) -> dict[str, list[str]]:
        """The packed table of a model class."""
        known = self.profile.architectures[architecture].packed_modules or {}
        return {name: list(members) for name, members in known.items()}

    def map(self, config: Any, architecture: str) -> None:
        """Map the names in a config as the loader does."""
        from sglang.srt.models.utils import WeightsMapper

        rules = self.profile.architectures[architecture].mapper
        if rules is not None:
            kinds = ("substr", "prefix", "suffix")
            given = {f"orig_to_new_{kind}": dict(getattr(rules, kind)) for kind in kinds}
            config.apply_weight_name_mapper(WeightsMapper(**given))


def compressed(config: Any, layer: Any, name: str, kind: str) -> object:
    """A scheme of compressed-tensors."""
    if kind == "embedding":
        return "unquantized"
    if kind == "moe":
        config._add_fused_moe_to_target_scheme_map()
        found = [config.get_scheme_dict(layer, f"{name}.0.{part}") for part in EXPERT_PARTS]
        if any(each != found[0] for each in found):
            return "error"
        scheme = found[0]
    elif kind == "lm_head":
        config.get_linear_scheme = config.get_scheme_dict
        scheme = config.get_lm_head_scheme(layer=layer, layer_name=name)
    else:
        scheme = config.get_scheme_dict(layer, name)
    if scheme is None:
        return "unquantized"
    weights = scheme["weights"]
    return {
        "bits": weights.num_bits,
        "type": getattr(weights.type, "value", weights.type),
        "strategy": getattr(weights.strategy, "value", weights.strategy),
        "act": scheme["input_activations"] is not None,
    }


def auto_round(config: Any, layer: Any, name: str, kind: str) -> object:
    """(bits, group size, symmetric) of AutoRound."""
    if kind == "embedding":
        return "unquantized"
    bits, size, symmetric = config.get_layer_config(layer, name)
    if bits >= FLOAT_BITS:
        return "unquantized"
    return {"bits": bits, "group_size": size, "sym": symmetric}


def gptq(config: Any, layer: Any, name: str, kind: str) -> object:
    """The same of GPTQ; a method is replaced by what it is given."""
    from sglang.srt.layers.quantization import utils

    if kind == "moe":
        return {"bits": config.weight_bits, "group_size": config.group_size, "sym": config.is_sym}
    if kind == "embedding" or (kind == "lm_head" and not config.lm_head_quantized):
        return "unquantized"
    if utils.get_dynamic_override(config, layer_name=name) is False:
        return "unquantized"
    own = SimpleNamespace(**vars(config), TYPE_MAP=type(config).TYPE_MAP)
    own.get_name = config.get_name
    utils.override_config(own, prefix=name)
    return {"bits": own.weight_bits, "group_size": own.group_size, "sym": own.is_sym}


def awq(config: Any, layer: Any, name: str, kind: str) -> object:
    """Bits of AWQ."""
    from sglang.srt.layers.quantization.awq.awq import is_layer_skipped_awq

    if kind == "embedding" or (kind == "lm_head" and not config.lm_head_quantized):
        return "unquantized"
    skipped = is_layer_skipped_awq(name, config.modules_to_not_convert)
    return "unquantized" if skipped else {"bits": config.weight_bits}


def fp8(config: Any, layer: Any, name: str, kind: str) -> object:
    """Whether it is FP8."""
    from sglang.srt.layers.quantization.utils import is_layer_skipped

    if kind in ("lm_head", "embedding"):
        return "unquantized"
    mapping = config.packed_modules_mapping
    skipped = is_layer_skipped(name, config.ignored_layers, fused_mapping=mapping)
    return "unquantized" if skipped else {"fp8": True}


def quark(config: Any, layer: Any, name: str, kind: str) -> object:
    """Weight and group size of Quark."""
    from sglang.srt.layers.quantization.quark.utils import should_ignore_layer

    if kind in ("lm_head", "embedding"):
        return "unquantized"
    mapping = config.packed_modules_mapping
    if should_ignore_layer(name, ignore=config.exclude_layers, fused_mapping=mapping):
        return "unquantized"
    found = config._find_matched_config(name, layer)
    weight = found.get("weight")
    first = weight[0] if isinstance(weight, list) else weight
    return {"weight": first.get("dtype"), "group_size": first.get("group_size")}


ASK: Final = {
    "compressed-tensors": compressed,
    "auto-round": auto_round,
    "gptq": gptq,
    "awq": awq,
    "fp8": fp8,
    "quark": quark,
}


def config_of(method: str, metadata: Mapping[str, Any], packed: dict[str, list[str]]) -> Any:
    """The config as the loader makes it."""
    from sglang.srt.layers.quantization import get_quantization_config

    marlin = {"gptq": "gptq_marlin", "awq": "awq_marlin"}
    named = get_quantization_config(marlin.get(method, method))
    made = named.from_config({**metadata, "packed_modules_mapping": packed})
    made.packed_modules_mapping = packed
    return made


def asked(release: Release, case: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every lookup of a case, answered by the release."""
    method, architecture = case["method"], case["architectures"][0]
    packed = release.packed(architecture)
    if method == "quark":
        packed["gate_up_proj"] = ["gate_proj", "up_proj"]
        packed["fused_qkv_a_proj_with_mqa"] = ["q_a_proj", "kv_a_proj_with_mqa"]
    config = config_of(method, json.loads(json.dumps(case["metadata"])), packed)
    release.map(config, architecture)
    for expect in case["expect"]:
        name, kind = expect["prefix"], expect["kind"]
        try:
            answer = ASK[method](config, release.layer(kind), name, kind)
        except (ValueError, NotImplementedError, RuntimeError):
            answer = "error"
        yield {"prefix": name, "kind": kind, "answer": answer}


def main() -> None:
    """Ask, and write what was answered."""
    version, cases, out, *rest = sys.argv[1:]
    every = int(rest[0]) if rest else 1
    from importlib import import_module

    import_module("sglang_oracle").start((10, 0))
    release = Release(version)
    written = left_out = 0
    with gzip.open(cases, "rt", encoding="utf-8") as lines, gzip.open(out, "wt") as file:
        for number, line in enumerate(lines):
            case = json.loads(line)
            if number % every or case["architectures"][0] not in release.profile.architectures:
                continue
            try:
                expect = list(asked(release, case))
            except (ValueError, AssertionError, KeyError, TypeError, AttributeError) as error:
                left_out += 1
                print(f"{number} {case['method']}: {type(error).__name__}: {error}"[:160])
                continue
            case |= {"runtime": "sglang", "version": version, "expect": expect}
            case.pop("packed", None)
            file.write(json.dumps(case) + "\n")
            written += 1
    print(f"{written} cases, {left_out} that the release refuses as a whole")
    os._exit(0)


if __name__ == "__main__":
    main()
