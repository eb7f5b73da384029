"""Sizes of a RADIO tower, from its tensors, because its config class is code in the checkpoint.

Runtimes find them by the name of the ViT (`VIT_TIMM_DIM_BY_NAME`); a smaller tower under the same
name has others. Keys that the absent class would set are read from the tensors too.
"""

import importlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

_TOWER: Final = "vision_model.radio_model.model."
_BLOCKS: Final = f"{_TOWER}blocks."
_PATCHES: Final = f"{_TOWER}patch_generator."
_HEADS: Final = 2
"""For a tower of another size: any divisor of the width."""
_PATCH: Final = 16


def fit(config: dict[str, Any], tensors: Mapping[str, Any], module: str) -> Iterator[str]:
    """Adapt the tower's config to the sizes of its tensors; what was changed.

    Args:
        config: config.json.
        tensors: of the checkpoint.
        module: of the runtime, with the sizes.
    """
    vision = config.get("vision_config")
    values = vision.get("args") if isinstance(vision, dict) else None
    up = tensors.get(f"{_BLOCKS}0.mlp.fc1.weight")
    if not isinstance(vision, dict) or not isinstance(values, dict) or up is None:
        return
    found = importlib.import_module(module)
    name = values.get("model")
    inner, width = up.shape
    if found.VIT_TIMM_DIM_BY_NAME.get(name, (width,))[0] == width:
        return
    depth = len({t[len(_BLOCKS) :].partition(".")[0] for t in tensors if t.startswith(_BLOCKS)})
    found.VIT_TIMM_DIM_BY_NAME[name] = (width, depth, _HEADS, inner)
    positions = tensors.get(f"{_PATCHES}pos_embed")
    tokens = tensors.get(f"{_PATCHES}cls_token.token")
    patches, frames = (tensors.get(f"{_PATCHES}{n}.weight") for n in ("embedder", "video_embedder"))
    if positions is not None:
        side = int(positions.shape[1] ** 0.5)
        values.setdefault("cpe_max_size", side * config.get("patch_size", _PATCH))
        _largest_image(found, side)
    if tokens is not None and tokens.shape[0] > 1:
        values.setdefault("register_multiple", tokens.shape[0])
    if patches is not None and frames is not None:
        vision.setdefault("video_temporal_patch_size", frames.shape[1] // patches.shape[1])
    yield f"the sizes of the vision tower {name} are those of its tensors"


def _largest_image(module: Any, side: int) -> None:
    """A config class that has the number of positions as a size in pixels."""
    real = getattr(getattr(module, "RadioConfig", None), "__init__", None)
    if real is None:
        return

    def init(self: Any, *args: Any, **more: Any) -> None:
        real(self, *args, **{**more, "max_img_size": side * more.get("patch_size", _PATCH)})

    module.RadioConfig.__init__ = init
