"""`python -m place_learner.model_types RUNTIME ROOT [TRANSFORMERS]`: types with a config class.

Those of transformers, those that the runtime adds to them when it is imported, and its own, as a
JSON list. Runs in the environment of `setup.sh`, as `place_learner` does.
"""

import json
import os
import sys
from pathlib import Path

from place_learner import sandbox


def main() -> None:
    """Print them."""
    runtime, root, *library = sys.argv[1:]
    sandbox.prepare(Path(library[0]) if library else None)
    from place_learner.__main__ import runtime_of

    own = runtime_of(runtime, Path(root).resolve()).config_registry()
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    print(json.dumps(sorted({*own, *CONFIG_MAPPING})))
    sys.stdout.flush()
    os._exit(0)  # as in `__main__`


if __name__ == "__main__":
    main()
