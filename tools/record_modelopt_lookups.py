"""Record what the lookup functions of a release answer about ModelOpt's metadata.

    tools/record_modelopt_lookups.py CASES OUT DIRECTORY... [--every N]

CASES holds cases of other releases (../shared/conformance/lookup.jsonl); each N-th is put to every
release, unpacked in DIRECTORY (`vllm-0.19.1`), that registers its architectures. It may be OUT:
then those of the newest release there are put again. Nothing of a runtime is imported: the
functions are taken out of the source and run by themselves, with the rules of our profiles as their
mappers. OUT is what tools/conformance.py replays; it keeps what it has of other releases.
"""

import argparse
import ast
import gzip
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from packaging.version import Version

from ckptfix.runtimes.profile import ArchitectureProfile, RuntimeProfile
from ckptfix.runtimes.profile_store import load_profile

_QUANTIZATION: Final = {
    "vllm": "vllm/model_executor/layers/quantization",
    "sglang": "sglang/srt/layers/quantization",
}
_MODELOPT: Final = {"vllm": "modelopt.py", "sglang": "modelopt_quant.py"}
_SKIPPED: Final = {"vllm": "utils/quant_utils.py", "sglang": "utils.py"}
_MAPPER: Final = {
    "vllm": "vllm/model_executor/models/utils.py",
    "sglang": "sglang/srt/models/utils.py",
}
_MIXED: Final = "ModelOptMixedPrecisionConfig"
_UNIFORM: Final = {"FP8": "ModelOptFp8Config", "NVFP4": "ModelOptFp4Config"}
"""quant_algo -> the config class, asked in releases that do not read mixed precision."""
_BASE: Final = {"vllm": "ModelOptQuantConfigBase", "sglang": "ModelOptQuantConfig"}
_WANTED: Final = re.compile(
    r"(is_layer_excluded|apply_(vllm|weight_name)_mapper|_?resolve_quant_algo"
    r"|_quantized_layer_prefix_candidates)\Z"
)
_HELPERS: Final = re.compile(
    r"(is_layer_skipped|_module_path_match|_FALLBACK_FUSED_SHARDS|_compile_exclusion_pattern"
    r"|WeightsMapper)\Z"
)
_MAPPERS: Final = ("get_rename_mapper", "get_unstacked_mapper")
"""Of a WeightsMapper: what a release applies instead of it; the newer one first."""


@dataclass(frozen=True)
class Functions:
    """The functions of a release."""

    profile: RuntimeProfile
    scope: dict[str, Any]

    @property
    def algos(self) -> tuple[str, ...]:
        """The values of quant_algo whose classes are asked."""
        return ("MIXED_PRECISION",) if _MIXED in self.scope else tuple(_UNIFORM)

    def config(self, case: Mapping[str, Any], algo: str) -> Any:
        """The config class of a quant_algo, bound to the model classes of a case."""
        config = self.scope[_UNIFORM.get(algo, _MIXED)]()
        config.quantized_layers = dict(case["quantized_layers"])
        config.exclude_modules = list(case["exclude_modules"])
        config.packed_modules_mapping = {}
        named = case["architectures"][: 1 if self.profile.runtime == "sglang" else None]
        for known in map(self.profile.architectures.__getitem__, named):
            if known.mapper is not None:
                self._apply(config, known)
            packed = known.packed_modules or {}
            config.packed_modules_mapping |= {name: list(m) for name, m in packed.items()}
        return config

    def _apply(self, config: Any, known: ArchitectureProfile) -> None:
        kinds = ("regex", "substr", "prefix", "suffix")
        rules = {f"orig_to_new_{kind}": dict(getattr(known.mapper, kind)) for kind in kinds}
        if regexes := rules.get("orig_to_new_regex"):
            rules["orig_to_new_regex"] = {re.compile(old): new for old, new in regexes.items()}
        mapper = self.scope["WeightsMapper"](**{k: v for k, v in rules.items() if v})
        used = next((name for name in _MAPPERS if hasattr(mapper, name)), None)
        mapper = getattr(mapper, used)() if used else mapper
        named = ("apply_vllm_mapper", "apply_weight_name_mapper")
        if apply := next((getattr(config, name) for name in named if hasattr(config, name)), None):
            apply(mapper)

    def excluded(self, config: Any, prefix: str) -> bool | str:
        """What its exclusion functions answer; `error` where they raise."""
        try:
            if config.is_layer_excluded(prefix):
                return True
            if self.profile.runtime == "vllm":
                return False
            packed = config.packed_modules_mapping
            return bool(self.scope["is_layer_skipped"](prefix, config.exclude_modules, packed))
        except (ValueError, AssertionError):
            return "error"

    def quant_algo(self, config: Any, prefix: str) -> str | None:
        """What `_resolve_quant_algo` answers; `error` where it raises."""
        if not hasattr(config, "_resolve_quant_algo"):
            return None
        try:
            found = config._resolve_quant_algo(prefix)
        except ValueError:
            return "error"
        return None if found is None else str(found)


def functions(root: Path) -> Functions:
    """The functions of an unpacked release."""
    runtime, _, version = root.name.partition("-")
    folder, base = root / _QUANTIZATION[runtime], _BASE[runtime]
    parts: list[ast.stmt] = []
    for path in (folder / _SKIPPED[runtime], root / _MAPPER[runtime]):
        parts += [node for node in _top(path) if _HELPERS.match(_name(node))]
    for node in _top(folder / _MODELOPT[runtime]):
        if isinstance(node, ast.ClassDef) and node.name in (base, _MIXED, *_UNIFORM.values()):
            node.bases = [ast.Name(base, ast.Load())] if node.name != base else []
            node.body = [n for n in node.body if _WANTED.match(_name(n))] or [ast.Pass()]
            parts.append(node)
        elif _HELPERS.match(_name(node)):
            parts.append(node)
    scope: dict[str, Any] = {
        "dataclass": dataclass, "field": field, "replace": replace, "lru_cache": lru_cache,
        "re": re, "MappingProxyType": MappingProxyType, "fnmatch": __import__("fnmatch").fnmatch,
    }  # fmt: skip
    sys.modules.setdefault("regex", re)  # SGLang 0.5.8 imports it in a function
    future = ast.parse("from __future__ import annotations").body
    module = ast.fix_missing_locations(ast.Module([*future, *parts], []))
    exec(compile(module, root.name, "exec"), scope)
    return Functions(load_profile(runtime, version), scope)


def _top(path: Path) -> list[ast.stmt]:
    return ast.parse(path.read_text("utf-8")).body


def _name(node: ast.stmt) -> str:
    if isinstance(node, ast.Assign | ast.AnnAssign):
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        return target.id if isinstance(target, ast.Name) else ""
    return getattr(node, "name", "")


def asked(release: Functions, case: Mapping[str, Any], algo: str) -> dict[str, Any]:
    """A case, answered by the release's class for a quant_algo."""
    if algo in _UNIFORM:
        case = {**case, "quant_algo": algo, "quantized_layers": {}}
    config = release.config(case, algo)
    prefixes = [expect["prefix"] for expect in case["expect"]]
    answers = [
        {"prefix": p, "excluded": release.excluded(config, p), "quant_algo": algo}
        for p, algo in ((p, release.quant_algo(config, p)) for p in prefixes)
    ]
    return {**case, "version": release.profile.version, "expect": answers}


def recorded(release: Functions, cases: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every case of the runtime whose architectures the release registers, answered."""
    profile = release.profile
    for case in cases:
        known = all(name in profile.architectures for name in case["architectures"])
        if case["runtime"] == profile.runtime and known:
            yield from (asked(release, case, algo) for algo in release.algos)


def newest(cases: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The cases of the newest release of each runtime."""
    versions: dict[str, str] = {}
    for case in cases:
        known = versions.setdefault(case["runtime"], case["version"])
        versions[case["runtime"]] = max(known, case["version"], key=Version)
    yield from (case for case in cases if case["version"] == versions[case["runtime"]])


def main() -> int:
    """Record; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cases", type=Path, metavar="CASES")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("releases", nargs="+", type=Path, metavar="DIRECTORY")
    parser.add_argument("--every", type=int, default=1, metavar="N")
    arguments = parser.parse_args()
    named = {tuple(root.name.split("-", 1)) for root in arguments.releases}
    out: Path = arguments.out
    kept = []
    if out.exists():
        with gzip.open(out, "rt", encoding="utf-8") as old:
            kept = [c for c in map(json.loads, old) if (c["runtime"], c["version"]) not in named]
    if arguments.cases == out:
        cases = list(newest(kept))
    else:
        lines = arguments.cases.read_text("utf-8").splitlines()
        cases = [json.loads(line) for line in lines[:: arguments.every]]
    new = [case for root in arguments.releases for case in recorded(functions(root), cases)]
    with gzip.GzipFile(out, "wb", mtime=0) as file:
        for case in (*kept, *new):
            file.write(json.dumps(case, separators=(",", ":")).encode() + b"\n")
    print(f"{len(new)} cases of {len(arguments.releases)} releases")
    return 0


if __name__ == "__main__":
    sys.exit(main())
