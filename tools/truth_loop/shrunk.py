"""Published releases with few and small layers, their tensors made up, as fixtures.

The metadata are those of `../shared/real-configs`: nothing that is made of them is committed.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from place_learner import variants
from truth_loop.case import CONFIG, HF_QUANT
from truth_loop.judges import PYTHON, SHARED, JudgeError

CONFIGS: Final = SHARED / "real-configs"
SYNTHESIZE: Final = SHARED / "oracle" / "published" / "synthesize.py"
LAYERS: Final = 4
EXPERTS: Final = 8
SIZES: Final = {
    "hidden_size": 512,
    "intermediate_size": 512,
    "moe_intermediate_size": 256,
    "moe_shared_expert_intermediate_size": 256,
    "shared_expert_intermediate_size": 256,
    "vocab_size": 1024,
    "vocab_size_per_layer_input": 1024,
    "num_attention_heads": 16,
}
"""Key -> the most that it may be."""
_NUMBERED: Final = re.compile(r"(?<=\blayers\.)(\d+)")
_EXPERT: Final = re.compile(r"\bexperts\.(\d+)\b")
_TOKEN: Final = re.compile(r"token|_ids?$")
_TOKENS: Final = 10


def shrink(config: dict[str, Any]) -> dict[str, Any]:
    """A config with few layers, experts and heads, and small matrices."""
    small = _smaller(variants.shrink(config, LAYERS))
    for part in (small, small.get("text_config", {})):
        experts = [part[k] for k in part if re.search(r"(n_routed|num_local|num)_experts$", k)]
        for key in ("n_group", "topk_group"):
            if experts and isinstance(part.get(key), int):
                part[key] = 1
    return small


def _smaller(values: dict[str, Any]) -> dict[str, Any]:
    small: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and key != "vision_config":
            small[key] = _smaller(value)
        elif type(value) is int:
            most = SIZES.get(key, _TOKENS if _TOKEN.search(key) else value)
            small[key] = min(value, most)
        else:
            small[key] = value
    return small


def shrink_metadata(value: Any, layers: int) -> Any:  # noqa: ANN401 - any JSON
    """Metadata without the layers and experts that are gone; a draft's layer follows the others.

    Args:
        value: of hf_quant_config.json, or a part of it.
        layers: of the release.
    """
    if isinstance(value, dict):
        named = {_renamed(k, layers): shrink_metadata(v, layers) for k, v in value.items()}
        return {k: v for k, v in named.items() if k is not None}
    if isinstance(value, list):
        kept = [_renamed(v, layers) if isinstance(v, str) else v for v in value]
        return list(dict.fromkeys(v for v in kept if v is not None))
    return value


def _renamed(name: str, layers: int) -> str | None:
    """The name in the small release; None for one of what is gone."""
    expert, layer = _EXPERT.search(name), _NUMBERED.search(name)
    if expert and int(expert[1]) >= EXPERTS:
        return None
    if layer is None or int(layer[1]) < LAYERS:
        return name
    after = int(layer[1]) - layers
    return _NUMBERED.sub(str(LAYERS + after), name, count=1) if after >= 0 else None


def make(folder: Path) -> list[Path]:
    """Every release, small; those that are there already are left alone.

    Raises:
        JudgeError: a release could not be made.
    """
    made = []
    for source in sorted(path.parent for path in CONFIGS.glob(f"*/{CONFIG}")):
        out = folder / source.name
        made.append(out)
        if out.is_dir():
            continue
        with tempfile.TemporaryDirectory() as metadata:
            _write_metadata(source, Path(metadata))
            command = [str(part) for part in (PYTHON, SYNTHESIZE, metadata, out)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise JudgeError(f"{source.name}: {(done.stderr.strip() or '?').splitlines()[-1]}")
        print(source.name, done.stdout.strip(), file=sys.stderr)
    return made


def _write_metadata(source: Path, folder: Path) -> None:
    """The metadata of a release, as those of the small one."""
    config = json.loads((source / CONFIG).read_text())
    layers = config.get("text_config", config)["num_hidden_layers"]
    own = config.pop("quantization_config", None)
    small = shrink(config)
    if own is not None:
        small["quantization_config"] = shrink_metadata(own, layers)
    hf_quant = shrink_metadata(json.loads((source / HF_QUANT).read_text()), layers)
    (folder / CONFIG).write_text(json.dumps(small))
    (folder / HF_QUANT).write_text(json.dumps(hf_quant))
