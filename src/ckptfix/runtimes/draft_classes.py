"""Which class a runtime builds for the draft layers that are stored with a model.

`<runtime>/drafts.toml` names them, by the architecture of the model.
"""

import tomllib
from collections.abc import Mapping
from functools import cache

from ckptfix.runtimes.facts import FACTS


@cache
def draft_classes(runtime: str) -> Mapping[str, str]:
    """Architecture -> class; empty for a runtime of which none is known."""
    path = FACTS / runtime / "drafts.toml"
    return tomllib.loads(path.read_text("utf-8")) if path.is_file() else {}


def is_draft(runtime: str, architecture: str) -> bool:
    """Whether a class is built for draft layers."""
    return architecture in draft_classes(runtime).values()
