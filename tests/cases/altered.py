"""Exports with tensors added, left out, renamed or of another shape, or another config.json."""

import json
from functools import cache
from typing import Any, Final

from tests.cases.exports import MISSING, changed, exports
from tests.cases.packed import laid_out
from tests.conftest import DATA, SHARED
from truth_loop.case import header_text

OF_QUANTIZERS: Final = "quantizers"
OF_MODELOPT: Final = "fixtures"


@cache
def _exports(name: str) -> dict[str, dict[str, Any]]:
    return exports(name)


def exported(of: str, slug: str) -> dict[str, Any] | None:
    """A line of `exports`, or an export that is a folder; None if that is not here."""
    if of not in (OF_QUANTIZERS, OF_MODELOPT):
        return _exports(of)[slug]
    homes = (DATA / "quantizers" / slug, SHARED / "quantizers" / "fixtures" / slug)
    if of == OF_MODELOPT:
        homes = (DATA / slug, SHARED / "fixtures" / slug)
    home = next((home for home in homes if home.is_dir()), None)
    if home is None:
        return None
    files = {path.name: path.read_text() for path in home.glob("*.json")}
    shards = {path.name: header_text(path) for path in home.glob("*.safetensors")}
    return {"slug": slug, "files": files, "shards": shards}


def altered(line: dict[str, Any], case: dict[str, Any]) -> dict[str, Any]:
    """A line of `exports` as a case changes it.

    Args:
        line: what was exported.
        case: `add`, names of tensors of F32 with their shapes; `drop`, ends of names; `rename`, old
            parts of names with the new; `shapes`, names with shapes; `config`, as in `changed`, and
            `unset`, the paths that it is to lack.
    """
    shards: dict[str, tuple[str, int]] = {}
    missing = dict(case.get("add", {}))
    for file, (text, *_) in line["shards"].items():
        rows = {n: e for n, e in json.loads(text).items() if not _is_dropped(n, case)}
        rows |= {name: {"dtype": "F32", "shape": shape} for name, shape in missing.items()}
        missing = {}
        renamed = {_renamed(name, case): row for name, row in rows.items()}
        shards[file] = laid_out(renamed, case.get("shapes", {}))
    unset = dict.fromkeys(case.get("unset", ()), MISSING)
    return changed({**line, "shards": shards}, {**case.get("config", {}), **unset})


def _is_dropped(name: str, case: dict[str, Any]) -> bool:
    return name.endswith(tuple(case.get("drop", ())))


def _renamed(name: str, case: dict[str, Any]) -> str:
    for old, new in case.get("rename", {}).items():
        name = name.replace(old, new)
    return name
