"""Learn which sizes the model classes of a runtime release expect, by values of config.json.

    tools/learn_sizes.py RUNTIME VERSION --learned FOLDER --results FOLDER [ARCHITECTURE...]

Takes the configs that `learn_places.py` built the classes with (`--learned`, its `--results`),
changes each in one value at a time, builds and loads the class again (`place_learner/sizes.py`),
and writes `src/ckptfix/runtimes/RUNTIME/sizes/VERSION.json`: the size of every dimension that
follows from the config. Architectures that were learned in another run stay in the file. A run that
was cut off goes on where it was. Exit code 0; 2 if the environment cannot be used.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import learn_again
from ckptfix.runtimes.config_classes import flattened
from ckptfix.runtimes.learned.sizes import FOLDER, sized
from place_learner import size_rows


def records(_: str, __: str, results: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Architecture -> the sizes of its tensors, of all that were built."""
    for result in learn_again.built(results):
        rows = size_rows.rows(result)
        if not rows:
            continue
        keys = sorted(_keys(result))
        named = {key.rpartition(".")[2] for key in keys}
        record = {
            "config": result["config_from"].replace("--", "/"),
            "model_types": dict(size_rows.model_types(result["config"])),
            "rows": rows,
            "keys": keys,
            "read": sorted({*sized(dict.fromkeys(result["read"], True))} - named),
            "given": size_rows.conditions(result),
            "of_library": result["source"] == "library",
        }
        yield (
            result["architecture"],
            {key: value for key, value in record.items() if value not in ({}, False)},
        )


def _keys(result: dict[str, Any]) -> set[str]:
    """Keys that may decide sizes, of the config and of those with other values."""
    flat = dict(flattened(result["config"]))
    changed = {key: True for run in result["runs"] for key in run["change"]}
    return {*sized(dict.fromkeys(flat, True)), *sized(changed)}


if __name__ == "__main__":
    sys.exit(learn_again.run(__doc__ or "", FOLDER, records))
