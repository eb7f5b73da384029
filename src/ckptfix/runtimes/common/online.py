"""What a release quantizes while loading."""

from collections.abc import Mapping

from msgspec import Struct, field


class OnlineRow(Struct, frozen=True):
    """What a release, and those after it up to the next row, quantizes while loading."""

    since: str
    methods: frozenset[str]
    """Values of --quantization that quantize linear layers and experts."""
    instead: Mapping[str, str] = field(default_factory=dict)
    """Values that stop it, and their replacements."""
    pads: bool = False
    """Sizes that are not multiples of 16 are padded; before, a slower kernel runs the layer."""
