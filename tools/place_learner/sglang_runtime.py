"""SGLang for the learner: a config that records, one build."""

import sys
from pathlib import Path
from typing import Any, Final

from place_learner import sandbox
from place_learner.recorder import RECORDER, NoteTaker, Recording
from runtime_probe import stand_ins
from runtime_probe.sglang_models import SglangModels, boot


class SglangRuntime(SglangModels, Recording):
    """See `learning` for the interface of a runtime."""

    name = "sglang"
    config_extra: Final[dict[str, Any]] = {}
    respells = True

    def __init__(self, root: Path) -> None:
        self.root = root
        sys.path.insert(0, str(root))
        sandbox.add_packages(triton=True)
        boot()
        super().__init__()
        self.recorder_name = [RECORDER]
        self.recorder, self.kinds = self._record(), self.layer_kinds()
        stand_ins.no_processors()

    def _record(self) -> Any:
        """A config that takes notes."""
        import torch
        from sglang.srt.layers.linear import LinearBase
        from sglang.srt.layers.moe.fused_moe_triton.layer import FusedMoE
        from sglang.srt.layers.quantization import unquant
        from sglang.srt.layers.quantization.base_config import QuantizationConfig

        name = self.recorder_name

        class Recorder(NoteTaker, QuantizationConfig):
            """Leaves every layer unquantized."""

            called = name
            dtypes = (torch.bfloat16,)

            def get_scaled_act_names(self) -> list[str]:
                return []

            def get_cache_scale(self, name: str) -> None: ...

            def get_quant_method(self, layer: Any, prefix: str) -> Any:
                if isinstance(layer, LinearBase):
                    return unquant.UnquantizedLinearMethod()
                if isinstance(layer, FusedMoE):
                    triton = getattr(layer, "use_triton_kernels", False)
                    return unquant.UnquantizedFusedMoEMethod(triton)
                return None

        return Recorder

    def architectures(self) -> list[str]:
        """Every registered architecture."""
        return sorted(self.registry.get_supported_archs())

    def same_class(self, architecture: str) -> list[str]:
        """Other architectures that the same class serves."""
        own = self.registry.models.get(architecture)
        return [a for a, c in self.registry.models.items() if c is own and a != architecture]

    def inner(self, model: Any) -> list[str]:
        """None: only the tables of the outer class reach the metadata."""
        return []
