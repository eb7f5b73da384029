"""MLX, which does not name itself: bits and a group size without a `quant_method`.

Sources: mlx-lm 0.28, mlx_lm/utils.py `quantize_model` and `save_config`, which writes the object
under `quantization` too, and sgl-project/sglang issue 25119. A module with its own settings is
a key next to them; which other modules are quantized follows from the tensors.
"""

from collections.abc import Iterator
from typing import Final

from ckptfix.checkpoint.dialects.fields import Fields
from ckptfix.checkpoint.dialects.interface import Claim, Dialect, Documents, NameList, Reading, Role
from ckptfix.checkpoint.dialects.reading import counted, positive
from ckptfix.checkpoint.dialects.statements import (
    CONFIG_FILE,
    CONFIG_ROOT,
    MetadataFile,
    Statement,
)

_ROOTS: Final = (CONFIG_ROOT, ("quantization",))
_SIZES: Final = ("group_size", "bits")
_OWN: Final = frozenset({*_SIZES, "mode"})
_FLOATS: Final = {"mxfp4": "MLX_MXFP4", "nvfp4": "MLX_NVFP4", "mxfp8": "MLX_MXFP8"}
"""mode -> format; `affine` has one for each number of bits."""


def _found(documents: Documents) -> Fields | None:
    """The object with bits and group_size, whose other keys are modules."""
    config = documents.get(CONFIG_FILE)
    if config is None:
        return None
    for root in _ROOTS:
        value = config.value.get(root[0])
        if isinstance(value, dict) and all(positive(value.get(key)) for key in _SIZES):
            others = [each for key, each in value.items() if key not in _OWN]
            if all(isinstance(each, dict | bool) for each in others):
                return Fields.at(config, root)
    return None


def _scheme(value: dict[str, object]) -> str | None:
    bits = value.get("bits")
    return _FLOATS.get(str(value.get("mode")), f"MLX_INT{bits}" if isinstance(bits, int) else None)


def _matches(statement: Statement, module: str) -> bool:
    return statement.name == module


def _decides(metadata: MetadataFile, module: str) -> Statement | MetadataFile | None:
    named = (s for s in counted(metadata.statements) if _matches(s, module))
    decisive = next(named, None)
    if decisive is None:
        return metadata
    return decisive if decisive.kind == "entry" else None


def _statements(fields: Fields) -> Iterator[Statement]:
    file = fields.document.file
    for name, value in fields.value.items():
        path = (*fields.path, name)
        if value is False:
            yield Statement("exclude", name, file, path)
        elif name not in _OWN:
            own = {**fields.value, **(value if isinstance(value, dict) else {})}
            yield Statement(
                "entry", name, file, path, _scheme(own), positive(own.get("group_size"))
            )


class _Mlx:
    quantizer = "MLX"
    own_files = ()
    name_fields = ()
    roles = (Role("biases", optional=True),)
    writer = None
    speller = None  # vLLM and SGLang on CUDA do not read it
    reading = Reading(_decides, _matches)

    def claim(self, documents: Documents) -> Claim:
        return Claim.NONE if _found(documents) is None else Claim.NAMED

    def name_lists(self, documents: Documents) -> Iterator[NameList]:
        fields = _found(documents)
        if fields is not None:
            named = {n: v for n, v in fields.value.items() if n not in _OWN}
            yield NameList(fields.document.file, fields.path, named)

    def read(self, documents: Documents) -> tuple[MetadataFile, ...]:
        fields = _found(documents)
        if fields is None:
            return ()
        return (
            MetadataFile(
                file=fields.document.file,
                root=fields.path,
                quantizer=self.quantizer,
                quant_algo=_scheme(fields.value),
                group_size=positive(fields.value.get("group_size")),
                statements=tuple(_statements(fields)),
                producer=self.quantizer,
                faults=tuple(fields.faults),
                algo_path=(*fields.path, "bits"),
                entries_path=fields.path,
                exclude_list=fields.path,
            ),
        )


DIALECT: Final[Dialect] = _Mlx()
