"""The folders of the learner's environment, which `setup.sh` makes."""

import os
import sys
import tempfile
import warnings
from pathlib import Path


def home() -> Path:
    """Where `setup.sh` puts the environment: `LEARN_HOME`, else `ORACLE_HOME`, else a cache."""
    named = os.environ.get("LEARN_HOME") or os.environ.get("ORACLE_HOME")
    return Path(named) if named else Path.home() / ".cache" / "ckptfix-oracle"


def prepare(transformers: Path | None) -> None:
    """Call first, before torch is imported.

    Args:
        transformers: a folder that holds the release of transformers that the runtime pins.
    """
    from runtime_probe import gpu

    os.environ.update(gpu.QUIET)
    warnings.filterwarnings("ignore")
    sys.dont_write_bytecode = False
    sys.pycache_prefix = str(home() / "learn" / "pyc")
    own_temp(home() / "learn" / "tmp")
    if transformers:
        sys.path.insert(0, str(transformers))


def own_temp(folder: Path) -> None:
    """Temporary files go to `folder`; a child process gets one that its parent removes."""
    folder.mkdir(parents=True, exist_ok=True)
    tempfile.tempdir = str(folder)


def add_packages(*, triton: bool = False) -> None:
    """Put torchvision and timm on the path.

    Args:
        triton: put triton there too.
    """
    overlay = home() / "learn" / "overlay"
    if not overlay.is_dir():
        sys.exit(f"{overlay} is missing: run tools/place_learner/setup.sh first")
    sys.path.append(str(overlay))
    if triton:
        sys.path.append(str(home() / "learn" / "triton"))
