"""Record what the config classes of transformers, and a runtime's own, make of config.json.

    tools/record_config_classes.py OUT.json      with a Python that has that transformers
    tools/record_config_classes.py OUT.json --runtime vllm --version 0.33.0 --root FOLDER

Both runtimes read config.json through these classes before they build a layer. From release 5 on
their fields are typed, so that a null or a string in the wrong place stops them; a key that is
missing gets the default of the class. Every field is tried with values of every kind of JSON, in a
config that has the defaults otherwise. Recorded are the classes of models that generate text, of
towers, and of the configs within them; with `--runtime` those that the runtime registers itself,
which needs the environment of `place_learner/setup.sh` (`--transformers`: folder of the release).
The library's class reads a config before SGLang's own of that type does; only the latter is
recorded.
"""

import argparse
import json
import logging
import os
import sys
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from place_learner.config_classes import layer_kinds, record, rope

LIBRARY: Final = (
    Path(__file__).resolve().parents[1] / "src" / "ckptfix" / "runtimes" / "config_classes"
)


class Recorder:
    """The classes of a file, and those of the configs within them."""

    def __init__(
        self,
        readers: Mapping[str, Any],
        known: Mapping[str, Any],
        recorded: Collection[str] = (),
    ) -> None:
        """Nothing is tried yet.

        Args:
            readers: model_type -> class that reads it.
            known: model_type -> class that reads a config of that type within another.
            recorded: types that another file has, unless `readers` names them.
        """
        from transformers import PreTrainedConfig

        self._todo, self._known, self._recorded = dict(readers), known, recorded
        self._within: dict[str, Any] = {}
        self._base = frozenset(getattr(PreTrainedConfig, "__dataclass_fields__", {}))

    def classes(self) -> dict[str, Any]:
        """Name -> record; None for a class that has no defaults."""
        found: dict[str, Any] = {}
        while self._todo:
            name, config_class = self._todo.popitem()
            try:
                found[name] = record(config_class, self._base, self._name_of)
            except Exception as error:
                print(f"{name}: {type(error).__name__}: {str(error)[:100]}", file=sys.stderr)
                found[name] = None
            for inner in found[name]["nested"].values() if found[name] else ():
                if inner and inner not in found and inner not in self._recorded:
                    self._todo.setdefault(inner, self._within[inner])
            for inner in found[name]["by_type"].values() if found[name] else ():
                if inner in self._known and inner not in (*found, *self._recorded):
                    self._todo.setdefault(inner, self._known[inner])
        return found

    def _name_of(self, config_class: Any) -> str:
        model_type = getattr(config_class, "model_type", "") or ""
        if not model_type:
            return ""
        same = model_type in self._known and self._known[model_type] is config_class
        name = model_type if same else str(config_class.__name__)
        self._within[name] = config_class
        return name


class Own(dict[str, Any]):
    """model_type -> class: a runtime's own before the library's."""

    def __init__(self, registry: Any, mapping: Any) -> None:
        """Classes are imported where they are asked for.

        Args:
            registry: of the runtime.
            mapping: of the library.
        """
        super().__init__()
        self._registry, self._mapping = registry, mapping

    def __contains__(self, name: object) -> bool:
        return name in self._registry or name in self._mapping

    def __getitem__(self, name: str) -> Any:
        return self._registry[name] if name in self._registry else self._mapping[name]


def library() -> dict[str, Any]:
    """The file of the transformers release that is installed."""
    import transformers
    from transformers.models.auto import modeling_auto
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    names = sorted(
        set(modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
        | set(modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES)
        | set(modeling_auto.MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES)
    )
    readers = {name: CONFIG_MAPPING[name] for name in names if name in CONFIG_MAPPING}
    readers |= dict(_towers(CONFIG_MAPPING))
    head = {
        "transformers": transformers.__version__,
        "rope": rope(transformers.LlamaConfig),
        "layer_kinds": layer_kinds(transformers.Qwen3Config),
    }
    return {**head, "classes": Recorder(readers, CONFIG_MAPPING).classes()}


def _towers(mapping: Any) -> Iterator[tuple[str, Any]]:
    """Classes of towers: a wrapper may name them in config.json only, by their model_type."""
    for name in mapping.keys():  # noqa: SIM118 - it imports a class when it is asked for it
        with suppress(ImportError, OSError, ValueError):
            if getattr(mapping[name], "base_config_key", "") in ("vision_config", "audio_config"):
                yield name, mapping[name]


def own_classes(runtime: str, version: str, root: Path, transformers: Path) -> dict[str, Any]:
    """The file of a runtime's own classes."""
    from place_learner import sandbox

    sandbox.prepare(transformers)
    from place_learner.__main__ import runtime_of

    registry = runtime_of(runtime, root).config_registry()
    import transformers as used
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    readers = {name: registry[name] for name in sorted(registry)}
    head = {"transformers": used.__version__, "runtime": f"{runtime} {version}"}
    file = LIBRARY / f"transformers-{used.__version__}.json"
    recorded = json.loads(file.read_text("utf-8"))["classes"].keys()
    known = Own(registry, CONFIG_MAPPING)
    return {**head, "classes": Recorder(readers, known, recorded).classes()}


def main() -> int:
    """Write what every class does; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--runtime", choices=("vllm", "sglang"))
    parser.add_argument("--version", help="of the runtime")
    parser.add_argument("--root", type=Path, help="the unpacked wheel of the runtime")
    parser.add_argument("--transformers", type=Path, help="folder of the release it is read with")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    if asked.runtime:
        made = own_classes(asked.runtime, asked.version, asked.root.resolve(), asked.transformers)
    else:
        made = library()
    classes = made.pop("classes")
    lines = [f"{json.dumps(n)}: {json.dumps(classes[n])}" for n in sorted(classes)]
    text = ",\n".join(lines)
    asked.out.write_text(f'{json.dumps(made)[:-1]}, "classes": {{\n{text}\n}}}}\n')
    print(f"{len(classes)} classes")
    sys.stdout.flush()
    os._exit(0)  # what the runtimes start need not end in order


if __name__ == "__main__":
    sys.exit(main())
