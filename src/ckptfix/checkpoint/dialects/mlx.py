"""MLX, which names itself nowhere: bits and a group size without a `quant_method`.

Sources: mlx-lm 0.28 (`save_config`, which writes the object under `quantization` too) and
sgl-project/sglang issue 25119. A module with its own sizes is a key next to them.
"""

from collections.abc import Iterator
from typing import Any, Final

from ckptfix.checkpoint.dialects.fields import Fields
from ckptfix.checkpoint.dialects.interface import Claim, Dialect, Documents, NameList, Reading, Role
from ckptfix.checkpoint.dialects.reading import counted, positive
from ckptfix.checkpoint.dialects.sections import method_in_config
from ckptfix.checkpoint.dialects.statements import (
    CONFIG_FILE,
    MetadataFile,
    Statement,
    config_root,
)

_SIZES: Final = ("group_size", "bits")


def _section(documents: Documents) -> Fields | None:
    """The object, where it names no quantizer and has both sizes."""
    config = documents.get(CONFIG_FILE)
    root = config_root(config.value) if config is not None else None
    if config is None or root is None or method_in_config(documents) != "":
        return None
    fields = Fields.at(config, root)
    is_mlx = all(positive(fields.value.get(key)) for key in _SIZES)
    return fields if is_mlx and "quant_algo" not in fields.value else None


def _scheme(value: dict[str, Any]) -> str | None:
    return f"MLX_INT{value['bits']}" if positive(value.get("bits")) else None


def _named(fields: Fields) -> dict[str, Any]:
    return {k: v for k, v in fields.value.items() if isinstance(v, dict) or v is False}


def _statements(fields: Fields) -> Iterator[Statement]:
    file = fields.document.file
    for name, value in _named(fields).items():
        path = (*fields.path, name)
        if value is False:
            yield Statement("exclude", name, file, path)
        else:
            algo, size = _scheme(value), positive(value.get("group_size"))
            yield Statement("entry", name, file, path, algo, size)


def _meets(statement: Statement, module: str) -> bool:
    return statement.name == module


def _decides(metadata: MetadataFile, module: str) -> Statement | MetadataFile | None:
    named = counted(metadata.statements)
    found = next((statement for statement in named if _meets(statement, module)), None)
    if found is None:
        return metadata
    return found if found.kind == "entry" else None


class _Mlx:
    quantizer = "MLX"
    own_files = ()
    name_fields = ()
    roles = (Role("biases", optional=True),)
    writer = None
    speller = None  # vLLM and SGLang on CUDA read none of it
    reading = Reading(_decides, _meets)

    def claim(self, documents: Documents) -> Claim:
        return Claim.NAMED if _section(documents) is not None else Claim.NONE

    def name_lists(self, documents: Documents) -> Iterator[NameList]:
        fields = _section(documents)
        if fields is not None and (named := _named(fields)):
            yield NameList(fields.document.file, fields.path, named, are_patterns=True)

    def read(self, documents: Documents) -> tuple[MetadataFile, ...]:
        fields = _section(documents)
        if fields is None:
            return ()
        statements = tuple(_statements(fields))
        return (
            MetadataFile(
                file=fields.document.file,
                root=fields.path,
                quantizer=self.quantizer,
                quant_algo=_scheme(fields.value),
                group_size=positive(fields.value.get("group_size")),
                producer="MLX",
                statements=statements,
                faults=tuple(fields.faults),
                algo_path=(*fields.path, "bits"),
                entries_path=fields.path,
                exclude_list=fields.path,
            ),
        )


DIALECT: Final[Dialect] = _Mlx()
