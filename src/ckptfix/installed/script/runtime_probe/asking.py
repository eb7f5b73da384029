"""One question: build the class for a checkpoint, load its tensors on meta, report the outcome."""

import json
import re
import traceback
from pathlib import Path
from typing import Any, Final

from runtime_probe import built as built_models
from runtime_probe import gpu, radio, remote_configs, stand_ins, trace
from runtime_probe.built import Built
from runtime_probe.texts import is_missing

_DTYPES: Final = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E8M0": "float8_e8m0fnu",
    "U8": "uint8",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "BOOL": "bool",
}
_CONFIG: Final = "config.json"
_PARAMS: Final = "params.json"
"""In its place in Mistral's own format."""
_PATH: Final = 200
"""Characters of the checkpoint's path that a folder's name can have."""
_STOOD_IN: Final = "stubbed op"
NO_NETWORK: Final = "ckptfix queries it without a network"
_HERE: Final = str(Path(__file__).parent)


class Asker:
    """A runtime, imported and ready to build."""

    def __init__(self, runtime: str) -> None:
        self.stood_in: list[str] = []
        if not gpu.has_gpu():
            self.stood_in = ["one GPU of capability 10.0", "kernels and compiled operators"]
        self.models = _vllm() if runtime == "vllm" else _sglang()
        stand_ins.no_processors()
        self.stood_in.append("tokenizers and processors")

    def answer(self, question: dict[str, Any], folder: Path) -> dict[str, Any]:
        """What the runtime builds and loads; `refused` if it raises."""
        import torch

        files = dict(question["files"])
        file = _PARAMS if _PARAMS in files else _CONFIG
        if file == _PARAMS:
            # SGLang tells Mistral's own format by the path.
            folder /= re.sub(r"\W+", "-", question["path"])[-_PATH:]
            folder.mkdir()
        config = json.loads(files[file])
        notes: list[str] = self.models.spellings(config)
        left_out: tuple[str, ...] = ()
        if remote_configs.drop_incomplete_sound(config):
            notes.append("sound_config is incomplete: no audio tower, nor its tensors, was tried")
            left_out = ("sound",)
        tensors = {
            name: torch.empty(shape, dtype=getattr(torch, _DTYPES[dtype]), device="meta")
            for name, (dtype, shape) in question["tensors"].items()
            if not name.startswith(left_out)
        }
        notes += radio.fit(config, tensors, self.models.radio)
        if notes:
            files[file] = json.dumps(config)
        for name, text in files.items():
            (folder / name).write_text(text, "utf-8")
        architecture = (config.get("architectures") or [""])[0]
        try:
            built = self.models.build(folder, config, architecture)
            refusal = _unimported(self.models.import_error())
        except Exception as error:
            traceback.print_exc()
            refusal = _unimported(self.models.import_error()) or _refusal(error)
        if refusal:
            return {**refusal, "notes": notes, "stood_in": self.packages()}
        loaded = trace.load(built, tensors)
        if ours := [text for text in loaded["errors"].values() if _is_ours(text)]:
            return {"failed": f"loading cannot be tried here: {ours[0]}", "notes": notes}
        kinds = self.models.layer_kinds()
        return {
            "class_name": type(built.model).__name__,
            "quant_config": built.quant_name,
            "modules": list(_modules(built, kinds)),
            "lands": {t: [p for p, _ in reached] for t, reached in loaded["lands"].items()},
            "errors": loaded["errors"],
            "meant_for": trace.place(built, {t: tensors[t] for t in loaded["errors"] if t != "*"}),
            "unused": loaded["unused"],
            "never_written": loaded["never_written"],
            "casts": loaded["casts"],
            "cut": [t for t, n in loaded["copied"].items() if n < tensors[t].numel()],
            "needs_cache_scales": built.needs_cache_scales,
            "partial": dict(_partial(built, loaded["filled"])),
            "notes": notes,
            "stood_in": self.packages(),
        }

    def packages(self) -> list[str]:
        """What has been replaced by stand-ins so far."""
        names = sorted(stand_ins.found)
        return [*self.stood_in, *([f"packages: {', '.join(names)}"] if names else [])]


def _vllm() -> Any:
    from runtime_probe import vllm_boot
    from runtime_probe.vllm_models import VllmModels

    models = VllmModels()
    if gpu.has_gpu():
        return models
    vllm_boot.boot()
    from vllm.model_executor.layers.quantization import register_quantization_config  # noqa: F401
    from vllm.model_executor.models import registry  # noqa: F401 - before kernels are replaced

    models.layer_kinds()
    vllm_boot.stand_in_for_kernels()
    return models


def _sglang() -> Any:
    from runtime_probe import sglang_models

    if not gpu.has_gpu():
        sglang_models.boot()
    return sglang_models.SglangModels()


def _refusal(error: BaseException) -> dict[str, Any]:
    """In one line, with the place; `ours` if a stand-in may be the cause."""
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1]
    text = " ".join(str(error).split())
    return {
        "refused": f"{type(error).__name__}: {text[:300]}",
        "place": f"{_in_package(last.filename)}:{last.lineno}",
        "missing": is_missing(error),
        "ours": last.filename.startswith(_HERE) or _is_ours(text),
    }


def _unimported(error: BaseException | None) -> dict[str, Any]:
    """A class that does not import says nothing about the checkpoint; empty if it does."""
    return {**_refusal(error), "ours": True} if error is not None else {}


def _is_ours(text: str) -> bool:
    """True if a stand-in, or something missing, is the cause of a loader's error."""
    absent = text.startswith(("ImportError", "ModuleNotFoundError"))
    return absent or any(words in text for words in (_STOOD_IN, NO_NETWORK, "register an operator"))


def _in_package(path: str) -> str:
    """A path below site-packages, or below the package that it is in."""
    parts = Path(path).parts
    for root in ("site-packages", "dist-packages"):
        if root in parts:
            return "/".join(parts[parts.index(root) + 1 :])
    for name in ("vllm", "sglang", "transformers"):
        if name in parts:
            return "/".join(parts[len(parts) - 1 - parts[::-1].index(name) :])
    return Path(path).name


def _modules(built: Built, kinds: Any) -> Any:
    at = dict(built.model.named_modules())
    for row in built_models.modules(built, kinds):
        own = at[row["place"]].named_parameters(recurse=False)
        yield {**row, "parameters": {n: [str(p.dtype)[6:], list(p.shape)] for n, p in own}}


def _partial(built: Built, filled: dict[str, list[tuple[int, int]]]) -> Any:
    """Parameter -> [written, all]: elements of a matrix, experts of a bank."""
    for name, parameter in built.model.named_parameters():
        parts = filled.get(name)
        if not parts or parameter.dim() not in (2, 3):
            continue
        if parameter.dim() == 3:
            start = parameter.storage_offset()
            relative = [(offset - start, size) for offset, size in parts]
            every = parameter.shape[0]
            written = whole_experts(relative, parameter[0].numel(), every)
        else:
            written, every = sum(size for _, size in parts), parameter.numel()
        if written < every:
            yield name, [written, every]


def whole_experts(parts: list[tuple[int, int]], each: int, number: int) -> int:
    """How many experts are written as far as the one that is written most.

    Not as far as they reach: a runtime may pad them. `parts` are [offset, elements] of the copies,
    `each` the elements of an expert.
    """
    most = [0] * number
    end = 0
    for offset, size in sorted(parts):
        start, end = max(offset, end), max(end, offset + size)
        for expert in range(start // each, min(-(-end // each), number)):
            most[expert] += min(end, (expert + 1) * each) - max(start, expert * each)
    return most.count(max(most))
