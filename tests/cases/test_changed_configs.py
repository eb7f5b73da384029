"""Exports of vision models with one key of a config within config.json missing, null or changed.

`changed_configs.json` has what both real loaders did with each; a tower of the default size of its
class, a `model_type` of null and a number of blocks that is not that of the tensors among them.
"""

import json
from collections import defaultdict
from math import prod
from pathlib import Path
from typing import Any, Final

import pytest

from tests.cases.exports import MISSING, changed, exports
from tests.cases.packed import write
from tests.conftest import DATA
from tests.replay import ask

EXPORTS = exports("architectures")
TAKEN_AWAY: Final = "(missing)"
EXCLUDES_ALL: Final = {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ["*"]}
"""Of rows that are `plain`: most quantized exports load in one of the runtimes only."""
ROWS: Final[dict[str, list[dict[str, Any]]]] = defaultdict(list)
for row in json.loads((DATA / "changed_configs.json").read_text()):
    ROWS[row["slug"]].append(row)


def plain(shards: dict[str, Any]) -> dict[str, Any]:
    """Shards with the tensors that a model has without a quantizer, in BF16."""
    out = {}
    for name, (header, _) in shards.items():
        kept: dict[str, Any] = {}
        end = 0
        for tensor, entry in json.loads(header).items():
            if tensor == "__metadata__" or tensor.endswith(("_scale", "_scale_2")):
                continue
            shape = list(entry["shape"])
            if entry["dtype"] == "U8":  # two codes in a byte
                shape[-1] *= 2
            size = 2 * prod(shape)
            kept[tensor] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end + size]}
            end += size
        out[name] = json.dumps(kept), end
    return out


@pytest.mark.parametrize("slug", sorted(ROWS))
def test_no_answer_contradicts_what_a_release_did(slug: str, tmp_path: Path) -> None:
    line, wrong = EXPORTS[slug], []
    for number, row in enumerate(ROWS[slug]):
        values = {k: MISSING if v == TAKEN_AWAY else v for k, v in row["changed"].items()}
        case = changed(line, values)
        if row.get("plain"):
            case = changed(case, {"quantization_config": EXCLUDES_ALL})
            only_config = {"config.json": case["files"]["config.json"]}
            case = {**case, "files": only_config, "shards": plain(line["shards"])}
        folder = write(case, tmp_path / str(number))
        got = ask(folder, tuple(row["loads"]))
        for release, loads in row["loads"].items():
            expected = ("yes",) if loads else ("no", "unknown")
            if got[release].answer not in expected:
                wrong.append(f"{row['changed']} on {release}: {got[release]}")
    assert not wrong, "\n".join(wrong)
