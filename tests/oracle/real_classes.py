"""Print what the real model classes of vLLM hold, as JSON; run by the oracle's own interpreter.

    real_classes.py ORACLE_FOLDER

By architecture: class, file, mapper, packed table, SupportsQuant, or why it cannot be imported.
"""

import contextlib
import importlib
import json
import sys
from typing import Any


def describe(model: Any) -> dict[str, Any]:
    """What a profile holds of a class."""
    mapper = getattr(model, "hf_to_vllm_mapper", None)
    packed = getattr(model, "packed_modules_mapping", None)
    return {
        "class": model.__name__,
        "module": model.__module__,
        "supports_quant": any(base.__name__ == "SupportsQuant" for base in model.__mro__),
        "mapper": mapper
        and {
            kind: [
                [getattr(old, "pattern", old), new]
                for old, new in getattr(mapper, f"orig_to_new_{kind}").items()
            ]
            for kind in ("regex", "substr", "prefix", "suffix")
        },
        "packed": None if packed is None else [[k, list(v)] for k, v in packed.items()],
    }


def main() -> None:
    """Import every registered class."""
    sys.path.insert(0, sys.argv[1])
    classes: dict[str, dict[str, Any]] = {}
    with contextlib.redirect_stdout(sys.stderr):
        importlib.import_module("boot").boot((10, 0))
        registry = importlib.import_module("vllm.model_executor.models.registry")
        for architecture, registered in registry.ModelRegistry.models.items():
            try:
                classes[architecture] = describe(registered.load_model_cls())
            except Exception as error:  # noqa: BLE001 - whatever the environment lacks
                classes[architecture] = {"cannot_be_imported": repr(error)}
    json.dump(classes, sys.stdout)


if __name__ == "__main__":
    main()
