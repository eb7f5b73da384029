"""What the extractor reads from the classes of SGLang."""

from pathlib import Path

from tests.tools.source_trees import (
    extract,
    sglang_files,
)


def test_sglang_registers_the_entry_classes_of_its_modules(tmp_path: Path) -> None:
    model = """
        class A: ...
        class B(A):
            hf_to_sglang_mapper = WeightsMapper(orig_to_new_prefix={"x.": "y."})
            packed_modules_mapping = {"qkv": [("q", 0), ("k", 1)]}
        EntryClass = [A, B]
    """
    release = extract(tmp_path, sglang_files(model), "sglang")
    assert set(release.records) == {"A", "B"}
    assert release.records["B"].prefix == (("x.", "y."),)
    assert release.records["B"].packed == {"qkv": ("('q', 0)", "('k', 1)")}
    assert not release.records["B"].supports_quant


def test_the_mapper_method_of_sglang_decides(tmp_path: Path) -> None:
    model = """
        class Base:
            hf_to_sglang_mapper = WeightsMapper(orig_to_new_prefix={"x.": "y."})
            @classmethod
            def get_hf_to_sglang_mapper(cls, config):
                return cls.hf_to_sglang_mapper | WeightsMapper(orig_to_new_prefix={"z.": ""})
        class Layers(Base):
            @classmethod
            def get_hf_to_sglang_mapper(cls, config):
                n = config.num_hidden_layers
                return WeightsMapper(orig_to_new_prefix={f"model.layers.{n}.": "model.mtp."})
        EntryClass = [Base, Layers]
    """
    release = extract(tmp_path, sglang_files(model), "sglang")
    assert release.records["Base"].prefix == (("x.", "y."), ("z.", ""))
    assert not release.records["Layers"].has_mapper
    assert all(record.depends_on_config for record in release.records.values())
    (unread,) = release.unread
    assert unread.architecture == "Layers"
