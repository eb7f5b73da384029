"""Exports of vision models with one key of a config within config.json missing, null or changed.

`changed_configs.json` has what both real loaders did with each; a tower of the default size of its
class, a `model_type` of null and a number of blocks that is not that of the tensors among them.
"""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import pytest

from tests.cases.exports import exports
from tests.cases.packed import write
from tests.conftest import DATA
from tests.replay import ask

EXPORTS = exports("architectures")
MISSING: Final = "(missing)"
ROWS: Final[dict[str, list[dict[str, Any]]]] = defaultdict(list)
for row in json.loads((DATA / "changed_configs.json").read_text()):
    ROWS[row["slug"]].append(row)


def with_changes(config: dict[str, Any], changed: dict[str, Any]) -> dict[str, Any]:
    """A config with values at paths; `(missing)` takes the key away."""
    for path, value in changed.items():
        *within, key = path.split(".")
        holder = config
        for part in within:
            holder = holder.setdefault(part, {})
        holder.pop(key, None)
        if value != MISSING:
            holder[key] = value
    return config


@pytest.mark.parametrize("slug", sorted(ROWS))
def test_no_answer_contradicts_what_a_release_did(slug: str, tmp_path: Path) -> None:
    line, wrong = EXPORTS[slug], []
    for number, row in enumerate(ROWS[slug]):
        config = with_changes(json.loads(line["files"]["config.json"]), row["changed"])
        files = {**line["files"], "config.json": json.dumps(config)}
        folder = write({**line, "files": files}, tmp_path / str(number))
        got = ask(folder, tuple(row["loads"]))
        for release, loads in row["loads"].items():
            expected = ("yes",) if loads else ("no", "unknown")
            if got[release].answer not in expected:
                wrong.append(f"{row['changed']} on {release}: {got[release]}")
    assert not wrong, "\n".join(wrong)
