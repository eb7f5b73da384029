"""`inspect --json`."""

import json
from dataclasses import asdict
from typing import Final

from ckptfix import __version__
from ckptfix.operations.inspect import Inspection

SCHEMA: Final = 1
"""Changes when a field changes its meaning or goes away."""


def inspection_json(inspection: Inspection) -> str:
    """The report of `inspect --json`."""
    made = {"schema": SCHEMA, "ckptfix": __version__, **asdict(inspection)}
    return json.dumps(made, indent=2) + "\n"
