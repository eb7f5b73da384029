"""What `verify --json` reports."""

import json
from pathlib import Path
from typing import Any

import jsonschema

from tests.conftest import Call

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "verify.schema.json").read_text())


def report(call: Call, directory: Path, *options: object, exit_code: int = 0) -> dict[str, Any]:
    """The report on a checkpoint, on the CPU; it fits the schema."""
    done = call("verify", directory, "--device", "cpu", "--json", *options)
    assert done.returncode == exit_code, done.stdout + done.stderr
    made: dict[str, Any] = json.loads(done.stdout)
    jsonschema.validate(made, SCHEMA)
    assert made["exit_code"] == exit_code
    return made
