"""Record with which model types each class of the transformers library is built.

    tools/record_architecture_types.py OUT.json      with a Python that has that transformers

A runtime builds the class that `architectures` names from the config class that `model_type` names.
Where these do not belong together, the config may lack what the class reads.
"""

import json
import sys
from pathlib import Path
from typing import Final

ENDS: Final = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel")
"""Ends of names of classes that generate text."""


def main() -> int:
    """Write the file; the exit code."""
    import transformers
    from transformers.models.auto import modeling_auto

    found: dict[str, set[str]] = {}
    for name in dir(modeling_auto):
        if name.startswith("MODEL_FOR_") and name.endswith("_MAPPING_NAMES"):
            for kind, classes in getattr(modeling_auto, name).items():
                for each in (classes,) if isinstance(classes, str) else classes or ():
                    if each and each.endswith(ENDS):
                        found.setdefault(each, set()).add(kind)
    lines = (f"{json.dumps(name)}: {json.dumps(sorted(found[name]))}" for name in sorted(found))
    head = json.dumps({"transformers": transformers.__version__})[:-1]
    text = ",\n".join(lines)
    Path(sys.argv[1]).write_text(f'{head}, "classes": {{\n{text}\n}}}}\n', encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
