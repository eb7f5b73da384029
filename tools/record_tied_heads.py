"""Record what config classes make of `tie_word_embeddings`, also where config.json lacks it.

    tools/record_tied_heads.py PART.json       with a Python that has a transformers
    tools/record_tied_heads.py PART.json --runtime vllm --root FOLDER --transformers FOLDER
    tools/record_tied_heads.py --write PART.json...

Every class of transformers, or with `--runtime` those that the runtime registers itself, reads a
config without the key, with true and with false, those with a language model's config within in
both places. `--write` puts all parts together as `src/ckptfix/runtimes/tied_heads.json`.

A type has one letter: t (true), f (false) or - (no such attribute). One with a config within has
nine for the attribute of its own, and nine for that of the config within: three for each value of
its own (missing, true, false), by the value within in the same order.
"""

import argparse
import json
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any, Final

from place_learner import sandbox

WRITTEN: Final = (
    Path(__file__).resolve().parents[1] / "src" / "ckptfix" / "runtimes" / "tied_heads.json"
)
KEY: Final = "tie_word_embeddings"
VALUES: Final[tuple[dict[str, bool], ...]] = ({}, {KEY: True}, {KEY: False})
WITHIN: Final = ("text_config", "llm_config")
_LETTERS: Final = {True: "t", False: "f"}


def letter(config: Any) -> str:
    """What a config object has."""
    value = getattr(config, KEY, None)
    return _LETTERS[value] if isinstance(value, bool) else "-"


def row(config_class: Any) -> list[str] | None:
    """What a class makes of the key; None where it cannot be built without a config."""
    try:
        key = next((key for key in WITHIN if _part(config_class.from_dict({}), key)), "")
        if not key:
            return [letter(config_class.from_dict({}))]
        made = [config_class.from_dict({**own, key: dict(t)}) for own in VALUES for t in VALUES]
    except Exception:
        return None
    return ["".join(map(letter, made)), "".join(letter(_part(each, key)) for each in made)]


def _part(config: Any, key: str) -> Any:
    inner = vars(config).get(key)
    return inner if hasattr(inner, "to_dict") else None


def rows(registry: Any) -> dict[str, str]:
    """model_type -> what its class makes of the key; the two parts with a slash between."""
    found = {}
    for name in sorted(registry):
        try:
            made = row(registry[name])
        except Exception as error:
            print(f"{name}: {type(error).__name__}", file=sys.stderr)
            continue
        if made and set("".join(made)) != {"-"}:
            found[name] = "/".join(made)
    return found


def recorded(asked: argparse.Namespace) -> dict[str, Any]:
    """One part: whose classes they are, and the rows."""
    if asked.runtime:
        sandbox.prepare(asked.transformers)
        from place_learner.__main__ import runtime_of

        registry = runtime_of(asked.runtime, asked.root.resolve()).config_registry()
        return {"of": asked.runtime, "rows": rows(registry)}
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    made = {name: CONFIG_MAPPING[name] for name in CONFIG_MAPPING.keys()}  # noqa: SIM118 - lazy
    return {"of": transformers.__version__, "rows": rows(made)}


def together(parts: list[dict[str, Any]]) -> str:
    """The text of the file; a type a line."""
    lines = []
    for part in sorted(parts, key=lambda part: str(part["of"])):
        inner = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in part["rows"].items())
        lines.append(f"{json.dumps(part['of'])}: {{\n{inner}\n}}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> None:
    """Record a part, or write all of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", type=Path, nargs="+")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--runtime", choices=("vllm", "sglang"))
    parser.add_argument("--root", type=Path, help="the unpacked wheel of the runtime")
    parser.add_argument("--transformers", type=Path, help="folder of the release it is read with")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    if asked.write:
        WRITTEN.write_text(together([json.loads(path.read_text()) for path in asked.parts]))
        return
    asked.parts[0].write_text(json.dumps(recorded(asked)))
    sys.stdout.flush()
    os._exit(0)  # what the runtimes start need not end in order


if __name__ == "__main__":
    main()
