"""Configs to build an architecture with, in order of trust: real, of the library, invented."""

import inspect
import json
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from place_learner.variants import Config
from runtime_probe.remote_configs import register_plain_config
from runtime_probe.texts import short

Source = Literal["real", "library", "invented"]

_SUFFIX: Final = re.compile(
    r"(ForCausalLM|ForConditionalGeneration|ForSequenceClassification|ForTokenClassification"
    r"|LMHeadModel|ForImageTextToText|ForRewardModel|ForProcessRewardModel|ChatModel|MTPModel|MTP"
    r"|Model|ForSpeculation|ForTextToSpeech|ForEmbedding|ForRetrieval|ForMaskedLM|ForProcessing.*"
    r"|ForQuestionAnswering)$"
)
_GENERIC: Final = frozenset(
    {"VllmConfig", "CacheConfig", "QuantizationConfig", "PretrainedConfig", "PreTrainedConfig"}
    | {"ModelConfig", "ParallelConfig", "MultiModalConfig", "SpeculativeConfig", "LoRAConfig"}
)
_GENERIC_BACKEND: Final = (("TransformersMoE", "MixtralConfig"), ("Transformers", "LlamaConfig"))
"""The generic backend takes any library model: a plain one and one with experts represent it."""
_MISTRAL_TOWERS: Final = ("vision_encoder", "multimodal")
_DECODER: Final[Config] = {
    "hidden_size": 4096,
    "num_hidden_layers": 4,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "vocab_size": 32000,
    "intermediate_size": 11008,
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "head_dim": 128,
    "tie_word_embeddings": False,
}


@dataclass(frozen=True)
class Candidate:
    """A config that an architecture may be built with."""

    source: Source
    origin: str
    """The folder or the config class that it is from; empty for an invented one."""
    config: Config


def published(folders: Sequence[Path]) -> Mapping[str, tuple[Candidate, ...]]:
    """Architecture -> published configs, `FOLDER/config.json` or `FOLDER/<name>/config.json`.

    For classes that read Mistral's own format only, also `params.json`.
    """
    found: dict[str, tuple[Candidate, ...]] = {}
    globs = ("config.json", "*/config.json", "params.json", "*/params.json")
    for path in [p for folder in folders for glob in globs for p in sorted(folder.glob(glob))]:
        config = json.loads(path.read_text("utf-8"))
        named = dict.fromkeys(config.get("architectures") or [], config)
        for name, own in (_of_mistral(config) if is_mistral(config) else named).items():
            found[name] = (*found.get(name, ()), Candidate("real", path.parent.name, own))
    return found


def is_mistral(config: Config) -> bool:
    """True for a params.json, the config of Mistral's own format."""
    return "dim" in config and "n_layers" in config


def _of_mistral(config: Config) -> Mapping[str, Config]:
    """Classes that read such a config; Mistral and Mixtral have configs of the library too.

    vLLM 0.33.0, vllm/transformers_utils/configs/mistral.py `adapt_config_dict`.
    """
    text = {k: v for k, v in config.items() if k not in _MISTRAL_TOWERS}
    found = {}
    if (config.get("moe") or {}).get("num_shared_experts"):
        found["MistralLarge3ForCausalLM"] = text
    if config.get("vision_encoder"):
        found["PixtralForConditionalGeneration"] = config
    return found


def candidates(
    architecture: str,
    model_class: Any,
    registry: Mapping[str, Any],
    real: Sequence[Candidate] = (),
    other: Candidate | None = None,
) -> tuple[list[Candidate], list[str]]:
    """What to try in turn; and why library classes have no default.

    Args:
        architecture: as it is registered.
        model_class: the runtime's.
        registry: model_type -> config class, of those that the runtime adds to the library's.
        real: published configs of the architecture or of another with the same class.
        other: what another runtime built this architecture with.
    """
    out, errors = list(real[:1]), []
    if other and other.source != "invented":
        out.append(other)
    for origin, config_class in library(architecture, model_class, registry)[:4]:
        try:
            config = config_class().to_dict()
        except Exception as error:
            errors.append(f"{origin} has no default: {short(error, 160)}")
            continue
        config["model_type"] = config.get("model_type") or config_class.model_type
        out.append(Candidate("library", origin, config))
    if other and other.source == "invented":
        out.append(other)
    invented = {"model_type": "learn_invented", **invented_class()().to_dict()}
    out.append(Candidate("invented", "", invented))
    return out, errors


def library(
    architecture: str, model_class: Any, registry: Mapping[str, Any]
) -> list[tuple[str, Any]]:
    """Config classes: of the library's own model class, of its name, of what its module imports."""
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING, CONFIG_MAPPING_NAMES

    out: list[tuple[str, Any]] = []
    own = transformers_class(architecture)
    if own is not None and getattr(own, "config_class", None):
        out.append((own.config_class.__name__, own.config_class))
    backends = [name for start, name in _GENERIC_BACKEND if architecture.startswith(start)]
    out += [(name, getattr(transformers, name)) for name in backends[:1]]
    stem = _plain(_SUFFIX.sub("", architecture))
    for model_type in [*registry, *CONFIG_MAPPING_NAMES]:
        if _plain(model_type) in (stem, stem.replace("forcausallm", "")):
            try:
                # vLLM's registry imports a class where it is indexed, and only there.
                classes = registry if model_type in registry else CONFIG_MAPPING
                out.append((model_type, classes[model_type]))
            except Exception:  # a config class that does not import
                continue
    module = sys.modules[model_class.__module__]
    try:
        names = dict.fromkeys(re.findall(r"\b([A-Z]\w*Config)\b", inspect.getsource(module)))
    except OSError:
        names = {}
    base = transformers.PretrainedConfig
    for name in names:
        value = getattr(module, name, None)
        if name in _GENERIC or not isinstance(value, type) or not issubclass(value, base):
            continue
        if value is not base:
            out.append((name, value))
    first: dict[Any, str] = {}
    for how, config_class in out:
        first.setdefault(config_class, how)
    return [(how, config_class) for config_class, how in first.items()]


def transformers_class(architecture: str) -> Any:
    """The library's own model class of that name, or None."""
    import transformers

    return getattr(transformers, architecture, None)


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


@cache
def invented_class() -> Any:
    """A config class with the attributes of any decoder; what is missing is guessed while building.

    Its objects can be read as mappings too.
    """
    from transformers import AutoConfig, PretrainedConfig

    class Invented(PretrainedConfig):
        model_type = "learn_invented"

        def __init__(self, **given: Any) -> None:
            for key, value in {**_DECODER, **given}.items():
                try:
                    setattr(self, key, value)
                except Exception:  # a property of the base
                    continue
            kept = {k: v for k, v in given.items() if k in ("architectures", "dtype")}
            super().__init__(**kept)

        def __getitem__(self, key: str) -> Any:
            return getattr(self, key)

        def get(self, key: str, default: Any = None) -> Any:
            return getattr(self, key, default)

        def keys(self) -> list[str]:
            return list(self.to_dict())

    AutoConfig.register("learn_invented", Invented, exist_ok=True)
    return Invented


def register_absent_class(
    architecture: str, published_config: Candidate, registry: Mapping[str, Any]
) -> None:
    """Let a published config be read whose class is code of its checkpoint: plain attributes.

    Some name no model_type, which that class would have.
    """
    config = published_config.config
    if is_mistral(config):
        return
    config.setdefault("model_type", f"plain_{architecture.lower()}")
    register_plain_config({**config, "auto_map": {}}, registry)


def write(config: Config, architecture: str, extra: Config) -> Path:
    """A new folder with the config of one architecture, without dtype, quantization, remote code.

    Metadata of ModelOpt in `extra` goes to hf_quant_config.json too, as ModelOpt writes it. SGLang
    tells Mistral's own format by the folder's name.
    """
    named_for = "mistral-large-3_" if is_mistral(config) else "learn_"
    folder = Path(tempfile.mkdtemp(prefix=named_for))
    left_out = ("dtype", "torch_dtype", "quantization_config", "auto_map")
    kept = {k: v for k, v in config.items() if k not in left_out}
    name = "params.json" if is_mistral(config) else "config.json"
    named = {} if is_mistral(config) else {"architectures": [architecture]}
    text = json.dumps({**kept, **named, **extra}, default=str)
    (folder / name).write_text(text, "utf-8")
    metadata = dict(extra.get("quantization_config", {}))
    if metadata.pop("quant_method", "") == "modelopt":
        metadata["exclude_modules"] = metadata.pop("ignore")
        metadata["kv_cache_quant_algo"] = "FP8" if "kv_cache_scheme" in metadata else None
        file = {"producer": metadata.pop("producer"), "quantization": metadata}
        (folder / "hf_quant_config.json").write_text(json.dumps(file), "utf-8")
    return folder
