"""Classes that rename the scales of FP8 while loading; reads `renamed_scales.toml`."""

from collections.abc import Iterable, Mapping
from typing import Final

from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.toml_folder import own_facts, rows_of

INVERSE: Final = "weight_scale_inv"
RENAMED: Final[Mapping[str, str]] = {INVERSE: "weight_scale", "activation_scale": "input_scale"}
"""Role as it is stored -> the one whose parameter it is loaded into."""


def renames_scales(target: Target, classes: Iterable[str]) -> bool:
    """Whether a loader takes the one name for the other.

    Args:
        target: the release.
        classes: the outer model class, then those that it builds inside.
    """
    rows = own_facts("renamed_scales.toml")["classes"]
    return next(rows_of(rows, target, classes), None) is not None
