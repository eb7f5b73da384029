"""Which model class a release builds for a checkpoint."""

import re
from collections.abc import Mapping
from typing import Any, Final

from ckptfix.checkpoint.dialects.statements import CONFIG_FILE
from ckptfix.checkpoint.model_config import ModelConfig
from ckptfix.jsontext.text import pointer
from ckptfix.runtimes.common.objects import StopsError, kind_of
from ckptfix.runtimes.profile import RuntimeProfile
from ckptfix.runtimes.registry import runtime_named
from ckptfix.runtimes.toml_folder import own_facts
from ckptfix.text import visible

_GENERATIVE: Final = re.compile(r".*For(?:CausalLM|ConditionalGeneration)\Z")
_OTHER: Final = re.compile(r".*(?:Model|For(?!CausalLM|ConditionalGeneration)[A-Z]\w*)\Z")
"""The names of other classes of transformers, which are not listed."""

_CAUSAL: Final = "ForCausalLM"
_NAMED: Final = CONFIG_FILE, ("architectures",)


class UnregisteredError(Exception):
    """The release has no class for it; whether it builds another one is not known."""


def _transformers() -> Mapping[str, Any]:
    return own_facts("transformers.toml")


def outer_architecture(config: ModelConfig, profile: RuntimeProfile) -> str:
    """The registered architecture that a release builds.

    Raises:
        StopsError: it builds none.
        UnregisteredError: it registers none, and may find a class elsewhere.
    """
    if config.is_missing:
        raise StopsError(f"there is no {CONFIG_FILE}", (CONFIG_FILE, ()))
    _require_names(config, profile)
    named = config.architectures
    if not named:
        return _inferred(config, profile)
    registered = next((a for a in named if a in profile.architectures), None)
    if registered is not None:
        return registered
    message = f"does not register {', '.join(map(visible, named))}"
    if "auto_map" in config.values or any(map(_may_be_of_transformers, named)):
        elsewhere = "a class of transformers or of the checkpoint, which was not looked at"
        raise UnregisteredError(f"{message}, and may take {elsewhere}")
    text = f"{message}, and transformers has no class with that name"
    raise StopsError(at=_NAMED, text=text)


def _require_names(config: ModelConfig, profile: RuntimeProfile) -> None:
    """Refuse something else in `architectures`, also in a place that the release reads last.

    (vllm 0.15.0 to 0.33.0, vllm/config/model_arch.py: a list of strings, validated; sglang 0.5.23
    uses the first name that it registers.)
    """
    wrong = config.not_a_name
    if wrong and (wrong.is_first or runtime_named(profile.runtime).validates_architectures):
        needed = "a name" if wrong.at[1:] else "a list of names"
        text = f"{pointer(wrong.at)[1:]} in {CONFIG_FILE} is {kind_of(wrong.value)}, not {needed}"
        raise StopsError(text, (CONFIG_FILE, wrong.at))


def _may_be_of_transformers(architecture: str) -> bool:
    if _GENERATIVE.match(architecture):
        return architecture in _transformers()["classes"]
    return _OTHER.match(architecture) is not None


def _inferred(config: ModelConfig, profile: RuntimeProfile) -> str:
    """The class of the model_type, unless the runtime fails to look it up.

    vLLM takes the name that transformers has for the model without a head, as `LlamaModel`. If it
    does not register that, it serves the model for embeddings, in most classes without a head
    (vllm 0.33.0, vllm/transformers_utils/config.py, vllm/model_executor/models/adapters.py).
    """
    if runtime_named(profile.runtime).needs_architectures:
        raise StopsError("config.json names no architectures", _NAMED)
    model_type = config.values.get("model_type")
    found = _transformers()["architectures"].get(model_type) if model_type else None
    if found is None or found not in profile.architectures:
        raise UnregisteredError("config.json names no architectures")
    if f"{found.removesuffix(_CAUSAL)}Model" not in profile.architectures:
        names = f"config.json names no architectures, such as {visible(found)}"
        raise UnregisteredError(f"{names}, without which it serves the model for embeddings")
    return str(found)
