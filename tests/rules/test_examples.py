"""The example of every rule breaks it, and its repair mends it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ckptfix.rules.registry import RULES
from tests.builders import UNRECORDED_TYPE, Shapes, bf16, fp8, nvfp4, safetensors_bytes
from tests.conftest import Call

_MODULE = re.compile(
    r"(?P<name>\S+) stored as (?P<algo>\w+)(?:, \[(?P<out>\d+)(?:, (?P<columns>\d+))?\])?"
    r"(?: (?P<how>with|without) (?P<role>\w+))?"
)
_DEFAULT = {"quant_algo": "FP8"}
"""Where an example is about tensors alone."""


def side(example: str, sign: str) -> dict[str, list[str]]:
    """File and pointer -> the lines before (`-`) or after (`+`) the repair."""
    places: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in example.splitlines():
        if line[:2] in ("  ", f"{sign} "):
            lines.append(line[2:])
        elif line[:2] not in ("- ", "+ "):
            lines = places.setdefault(line, [])
    return places


def tensors_of(lines: list[str]) -> Shapes:
    made: Shapes = {}
    for line in lines:
        found = _MODULE.fullmatch(line)
        assert found, line
        name, shape = found["name"], (int(found["out"] or 32), int(found["columns"] or 32))
        match found["algo"]:
            case "FP8":
                made |= fp8(name, *shape)
            case "NVFP4":
                made |= nvfp4(name, *shape)
            case "BF16":
                made |= bf16(name, *(shape[:1] if found["out"] and not found["columns"] else shape))
        if found["how"] == "with":
            made[f"{name}.{found['role']}"] = ("F32", ())
        elif found["how"]:
            del made[f"{name}.{found['role']}"]
    return made


def write(directory: Path, places: dict[str, list[str]]) -> list[str]:
    """Write one side; the releases to ask."""
    documents: dict[str, dict[str, Any]] = {}
    releases = []
    directory.mkdir()
    for place, lines in places.items():
        file, _, pointer = place.partition(" ")
        if file == "on":
            releases.append(pointer)
        elif file.endswith(".safetensors"):
            (directory / file).write_bytes(safetensors_bytes(tensors_of(lines)))
        elif lines:
            if lines == ["null"]:
                (directory / file).write_text("null")
                continue
            document = documents.setdefault(file, {})
            value = json.loads("{" + "\n".join(lines) + "}")
            document |= {pointer[1:]: value} if pointer else value
    documents.setdefault("config.json", {})
    if not any("quant" in place for place in places):
        documents["config.json"]["quantization_config"] = _DEFAULT
    for file, document in documents.items():
        if file == "config.json":
            document.setdefault("architectures", ["LlamaForCausalLM"])
            document.setdefault("model_type", UNRECORDED_TYPE)
        (directory / file).write_text(json.dumps(document, indent=2))
    if not any(directory.glob("*.safetensors")):
        (directory / "model.safetensors").write_bytes(safetensors_bytes(fp8("lm_head")))
    return releases


@pytest.mark.parametrize("code", [c for c, rule in RULES.items() if rule.needs != "weights"])
def test_the_example_is_found_before_its_repair_and_not_after(
    code: str, tmp_path: Path, call: Call
) -> None:
    for sign in "-+":
        directory = tmp_path / {"-": "before", "+": "after"}[sign]
        releases = write(directory, side(RULES[code].example, sign))
        more = [part for spec in releases for part in ("--runtime", spec)]
        done = call("check", directory, "--select", code, *more)
        assert (code in done.stdout) == (sign == "-"), done.stdout
        assert done.returncode == 1 or sign == "+"


@pytest.mark.parametrize("code", RULES)
def test_every_example_shows_a_repair(code: str) -> None:
    example = RULES[code].example
    assert side(example, "-") != side(example, "+")
    assert not example.startswith((" ", "-", "+")), "a file comes first"
