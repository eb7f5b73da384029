"""Learn how many blocks the towers of a runtime release have, by values of config.json.

    tools/learn_lists.py RUNTIME VERSION --learned FOLDER --results FOLDER [ARCHITECTURE...]

Takes the configs that `learn_places.py` built the classes with (`--learned`, its `--results`),
builds each class again with more blocks (`place_learner/lists.py`), and writes
`src/ckptfix/runtimes/RUNTIME/lists/VERSION.json`. Architectures that were learned in another run
stay in the file. A run that was cut off goes on where it was. Exit code 0; 2 if the environment
cannot be used.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import learn_again
from ckptfix.runtimes.learned.lists import FOLDER
from place_learner.size_rows import model_types


def records(_: str, __: str, results: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Architecture -> the lists of its towers, of all that have one."""
    for result in learn_again.built(results):
        lists = result["lists"]
        if not lists:
            continue
        counts: dict[str, list[str]] = {}
        for name, found in sorted(lists.items()):
            counts.setdefault(found["path"], []).append(name)
        parts = {path.rpartition(".")[0] for path in counts}
        record = {
            "config": result["config_from"].replace("--", "/"),
            "model_types": {
                path: type_
                for path, type_ in model_types(result["config"])
                if path.rpartition(".")[0] in ("", *parts)
            },
            "counts": counts,
            "differ": sorted(name for name, found in lists.items() if not found["same"]),
            "of_library": result["source"] == "library",
        }
        yield (
            result["architecture"],
            {key: value for key, value in record.items() if value not in ([], False)},
        )


if __name__ == "__main__":
    sys.exit(learn_again.run(__doc__ or "", FOLDER, records))
