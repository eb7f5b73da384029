"""What the extractor reads from a class, for each way in which the runtimes write it."""

from pathlib import Path

import pytest

from tests.tools.source_trees import (
    MAPPER,
    MODELS,
    extract,
    vllm_files,
    vllm_record,
)


def test_every_architecture_of_the_registry_is_read(tmp_path: Path) -> None:
    registry = """
        _TEXT = {"A": ("m", "M"), "B": ("m", "M")}
        _AGAIN = {k + "2": v for k, v in _TEXT.items() if k != "B"}
        _EMBEDDING = {"C": ("vllm.models.c", "M"), **_AGAIN}
        _VLLM_MODELS = {**_TEXT, **_EMBEDDING}
        _OLD = {"D": "0.1"}
    """
    package = """
        from vllm.platforms import current_platform
        if current_platform.is_rocm():
            from .amd import M
        else:
            from .nvidia import M
    """
    files = vllm_files(
        "class M: ...",
        {
            f"{MODELS}/registry.py": registry,
            "vllm/models/c/__init__.py": package,
            "vllm/models/c/amd.py": "class M: ...",
            "vllm/models/c/nvidia.py": "class M: ...",
        },
    )
    records = extract(tmp_path, files).records
    assert {name: record.file for name, record in records.items()} == {
        "A": f"{MODELS}/m.py",
        "B": f"{MODELS}/m.py",
        "A2": f"{MODELS}/m.py",
        "C": "vllm/models/c/nvidia.py",
    }


def test_the_rules_of_a_mapper_keep_kind_and_order(tmp_path: Path) -> None:
    model = r"""
        import regex as re
        class M(SupportsQuant):
            hf_to_vllm_mapper = WeightsMapper(
                orig_to_new_regex={re.compile(r"^a\.(\d+)"): r"b.\1"},
                orig_to_new_substr={".x.": ".y.", ".gone.": None},
                orig_to_new_prefix={"z.": "model.", "a.": ""},
                orig_to_new_suffix={".w": ".weight"},
            )
    """
    record = vllm_record(tmp_path, model)
    assert record.regex == ((r"^a\.(\d+)", r"b.\1"),)
    assert record.substr == ((".x.", ".y."), (".gone.", None))
    assert record.prefix == (("z.", "model."), ("a.", ""))
    assert record.suffix == ((".w", ".weight"),)
    assert record.has_mapper
    assert record.supports_quant
    assert not record.depends_on_config


def test_mappers_are_joined_as_the_release_joins_them(tmp_path: Path) -> None:
    model = """
        import re
        class Base:
            hf_to_vllm_mapper = WeightsMapper(
                orig_to_new_regex={re.compile("r"): "s"},
                orig_to_new_prefix={"a.": "b.", "c.": "d."},
            )
        class M:
            hf_to_vllm_mapper = Base.hf_to_vllm_mapper | WeightsMapper(
                orig_to_new_prefix={"a.": "e."}
            )
    """
    record = vllm_record(tmp_path / "whole", model)
    assert record.regex == (("r", "s"),)
    assert record.prefix == (("a.", "e."), ("c.", "d."))
    forgetful = MAPPER.replace("{**self.orig_to_new_regex, **other.orig_to_new_regex}", "{}")
    assert forgetful != MAPPER
    record = vllm_record(tmp_path / "forgetful", model, {f"{MODELS}/utils.py": forgetful})
    assert record.regex == ()
    assert record.prefix == (("a.", "e."), ("c.", "d."))


@pytest.mark.parametrize(
    "rules",
    [
        "dict(TABLE)",
        "TABLE.copy()",
        "{**TABLE}",
        "{k: v for k, v in TABLE.items()}",
        "{f'{k}.': f'model.{k}.' for k in NAMES if k not in {'skipped'}}",
        "made('model')",
        "tables.TABLE",
        "dict.fromkeys(['a.'], 'model.a.') | {'b.': 'model.b.'}",
    ],
)
def test_tables_that_are_computed_from_constants_are_read(tmp_path: Path, rules: str) -> None:
    tables = "NAMES = ('a', 'skipped', 'b')\nTABLE = {'a.': 'model.a.', 'b.': 'model.b.'}\n"
    model = f"""
        from . import tables
        from .tables import *
        def made(parent, names=NAMES):
            result = {{}}
            for name in names:
                if name != "skipped":
                    result[name + "."] = f"{{parent}}.{{name}}."
            return result
        class M:
            hf_to_vllm_mapper = WeightsMapper(orig_to_new_prefix={rules})
    """
    record = vllm_record(tmp_path, model, {f"{MODELS}/tables.py": tables})
    assert record.prefix == (("a.", "model.a."), ("b.", "model.b."))


def test_attributes_come_from_the_class_that_python_would_use(tmp_path: Path) -> None:
    model = """
        from torch import nn
        from .base import Top as Renamed
        class Left(Renamed):
            hf_to_vllm_mapper = WeightsMapper(orig_to_new_prefix={"left.": ""})
        class Right(Renamed):
            hf_to_vllm_mapper = WeightsMapper(orig_to_new_prefix={"right.": ""})
            packed_modules_mapping = {"qkv": ("q", "k", "v"), **Renamed.packed_modules_mapping}
        class M(Left, Right, nn.Module): ...
    """
    base = """
        from .interfaces import SupportsQuant
        class Top(SupportsQuant):
            packed_modules_mapping = {"gate_up_proj": ["gate_proj", "up_proj"]}
    """
    record = vllm_record(tmp_path, model, {f"{MODELS}/base.py": base})
    assert record.prefix == (("left.", ""),)
    assert record.packed == {"qkv": ("q", "k", "v"), "gate_up_proj": ("gate_proj", "up_proj")}
    assert record.supports_quant


def test_a_class_without_tables_has_none(tmp_path: Path) -> None:
    record = vllm_record(tmp_path, "class M: ...")
    assert not record.has_mapper
    assert record.packed is None
    assert not record.supports_quant
    assert record.sub_models == ()


def test_a_base_that_a_function_makes_passes_its_tables_on(tmp_path: Path) -> None:
    model = """
        def as_pooling(cls):
            if getattr(cls, "is_pooling", False):
                return cls
            class Pooling(cls):
                is_pooling = True
            Pooling.__name__ = cls.__name__ + "Pooling"
            return Pooling
        class Llama(SupportsQuant):
            packed_modules_mapping = {"qkv_proj": ["q_proj", "k_proj", "v_proj"]}
        class M(as_pooling(Llama)): ...
    """
    record = vllm_record(tmp_path, model)
    assert record.packed == {"qkv_proj": ("q_proj", "k_proj", "v_proj")}
    assert record.supports_quant


def test_what_a_base_sets_on_its_subclasses_is_read(tmp_path: Path) -> None:
    model = """
        class Base:
            hf_to_vllm_mapper = WeightsMapper(orig_to_new_prefix={"base.": "model."})
            def __init_subclass__(cls, **kwargs):
                super().__init_subclass__(**kwargs)
                joined = WeightsMapper()
                for base in cls.__mro__:
                    if mapper := getattr(base, "hf_to_vllm_mapper", None):
                        joined |= mapper
                cls.hf_to_vllm_mapper = joined
        class Vision:
            hf_to_vllm_mapper = WeightsMapper(orig_to_new_prefix={"vision.": "visual."})
        class M(Vision, Base): ...
    """
    record = vllm_record(tmp_path, model)
    assert record.prefix == (("vision.", "visual."), ("base.", "model."))
    assert not record.depends_on_config


def test_branches_are_taken_as_with_cuda(tmp_path: Path) -> None:
    model = """
        from vllm.platforms import current_platform
        _is_hip = current_platform.is_rocm()
        try:
            from missing import TABLE
        except ImportError:
            TABLE = {}
        TABLE = {"a": ["b"]}
        class M:
            if _is_hip:
                packed_modules_mapping = {"hip": ["x"]}
            elif current_platform.is_cuda() and not current_platform.is_cpu():
                packed_modules_mapping = TABLE
    """
    assert vllm_record(tmp_path, model).packed == {"a": ("b",)}


def test_sub_models_have_the_prefix_below_that_of_the_model(tmp_path: Path) -> None:
    model = """
        class Base:
            def __init__(self, config, prefix=""):
                self.visual = Vision(config, prefix=maybe_prefix(prefix, "visual"))
                self.replaced = Old(prefix=prefix)
        class M(Base):
            def __init__(self, *, config, prefix=""):
                super().__init__(config, maybe_prefix(prefix, "thinker"))
                self.model = make(config, prefix=maybe_prefix(maybe_prefix(prefix, "a"), "b"))
                self.replaced = New(prefix=prefix)
                if config.head:
                    self.lm_head = Head(config.size, prefix=f"{prefix}.lm_head")
                for i in range(config.layers):
                    self.layers = Layer(prefix=f"{prefix}.layers.{i}")
                self.norm = Norm(config)
    """
    assert set(vllm_record(tmp_path, model).sub_models) == {
        ("model", "a.b", "make"),
        ("replaced", "", "New"),
        ("lm_head", "lm_head", "Head"),
        ("layers", None, "Layer"),
        ("visual", "thinker.visual", "Vision"),
    }
