"""`Mxfp4Config` as gpt-oss uses it.

Source: sglang 0.5.10 to 0.5.23, sglang/srt/layers/quantization/mxfp4.py, which is made without
`ignored_layers`, and `_load_weights_mxfp4` of sglang/srt/models/gpt_oss.py.
"""

from collections.abc import Callable
from typing import Final

from ckptfix.runtimes.common.methods import QuantMethod
from ckptfix.runtimes.common.mxfp4 import Mxfp4, Mxfp4Row

ROWS: Final = (Mxfp4Row("0.5.10"),)
METHOD: Final[Callable[[Mxfp4Row], QuantMethod]] = Mxfp4
