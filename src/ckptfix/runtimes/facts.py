"""Where the facts of this package are: files next to its code.

A path, not `importlib.resources`, which imports zipfile, tempfile and random: a package in a zip
archive could not be imported anyway, because msgspec cannot.
"""

from pathlib import Path
from typing import Final

FACTS: Final = Path(__file__).parent


def toml_files(folder: Path) -> list[Path]:
    """The `*.toml` files of a folder, in the order of their names."""
    return sorted(folder.glob("*.toml"))
