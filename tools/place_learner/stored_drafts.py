"""Draft layers that are stored with a model: whether the class of the model passes over them."""

import copy
import re
from collections.abc import Mapping
from typing import Any, Final

from place_learner import configs
from place_learner.variants import Config
from runtime_probe import trace
from runtime_probe.trace import Tensors

_COUNT: Final = re.compile(r"(?:nextn_predict|mtp).*_(?:layers|modules)\Z|num_mtp_modules\Z")
_USUAL: Final = "num_nextn_predict_layers"


def declared(config: Config) -> tuple[str, Config]:
    """The path of the key that counts draft layers, and a copy of the config with one of them."""
    out = copy.deepcopy(config)
    text = out.get("text_config")
    part = "text_config" if isinstance(text, dict) and "num_hidden_layers" in text else ""
    values = out[part] if part else out
    key = next((key for key in values if _COUNT.search(key)), _USUAL)
    values[key] = 1
    return f"{part}.{key}".lstrip("."), out


def skipped(
    runtime: Any,
    architecture: str,
    config: Config,
    base: Mapping[str, Any],
    stored: Tensors,
    draft: Tensors,
) -> bool:
    """Whether the class loads a checkpoint with draft layers as it does without them.

    Args:
        runtime: see `learning`.
        architecture: of the model.
        config: that declares a draft layer.
        base: the load of `stored`.
        stored: the tensors of the model.
        draft: those that its draft class takes, by their names in the same checkpoint.
    """
    layers = {name: tensor for name, tensor in draft.items() if name not in stored}
    folder = configs.write(config, architecture, runtime.config_extra)
    built = runtime.build(folder, config, architecture)
    load = trace.load(built, {**stored, **layers}, others=False)
    return bool(
        layers
        and load["single_pass"]
        and layers.keys() <= set(load["unused"])
        and all(load[key] == base[key] for key in ("lands", "never_written"))
    )
