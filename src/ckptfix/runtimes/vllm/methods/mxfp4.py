"""`Mxfp4Config` and `GptOssMxfp4Config`.

Source: vllm 0.15.1 to 0.33.0, vllm/model_executor/layers/quantization/mxfp4.py.
"""

from collections.abc import Callable
from typing import Final

from ckptfix.runtimes.common.methods import QuantMethod
from ckptfix.runtimes.common.mxfp4 import Mxfp4, Mxfp4Row

ROWS: Final = (Mxfp4Row("0.15.0"),)
METHOD: Final[Callable[[Mxfp4Row], QuantMethod]] = Mxfp4
