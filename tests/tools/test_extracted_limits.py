"""What the extractor cannot read from the source of a class, and how it reports that."""

from pathlib import Path

import pytest

from tests.tools.source_trees import (
    MODELS,
    extract,
    vllm_files,
    vllm_record,
)


@pytest.mark.parametrize(
    "statement",
    [
        'self.packed_modules_mapping = {"a": ["b"]}',
        'self.packed_modules_mapping["a"] = [config.b]',
        "self.packed_modules_mapping.update(config.packed)",
        "type(self).hf_to_vllm_mapper |= config.mapper",
    ],
)
def test_tables_that_a_method_sets_depend_on_the_config(tmp_path: Path, statement: str) -> None:
    model = f"""
        class M:
            packed_modules_mapping = {{"qkv": ["q"]}}
            def __init__(self, config):
                {statement}
    """
    record = vllm_record(tmp_path, model)
    assert record.depends_on_config
    assert record.packed == {"qkv": ("q",)}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("TABLES['a'] if environ.get('A') else TABLES['b']", "cannot call os.environ.get"),
        ("changed_later", "changes changed_later after its assignment"),
        ("WeightsMapper(orig_to_new_prefix=load_table())", "cannot call elsewhere.load_table"),
        ("WeightsMapper(orig_to_new_prefixes={})", "no such field"),
        ("WeightsMapper(orig_to_new_regex={re.compile('a', re.I): 'b'})", "cannot evaluate"),
        ("loop", "it is defined in terms of itself"),
    ],
)
def test_a_mapper_that_the_source_does_not_show_is_reported(
    tmp_path: Path, value: str, reason: str
) -> None:
    model = f"""
        import re
        from os import environ
        from elsewhere import load_table
        changed_later = WeightsMapper()
        changed_later.orig_to_new_prefix.update({{}})
        changed_later["a"] = "b"
        loop = loop or None
        class M(SupportsQuant):
            hf_to_vllm_mapper = {value}
            packed_modules_mapping = {{"qkv": ["q"]}}
    """
    release = extract(tmp_path, vllm_files(model))
    (unread,) = release.unread
    assert str(unread).startswith(f"Arch (M in {MODELS}/m.py): name mapper: ")
    assert reason in str(unread)
    record = release.records["Arch"]
    assert not record.has_mapper
    assert record.depends_on_config
    assert record.packed == {"qkv": ("q",)}


def test_a_class_that_is_not_there_is_reported(tmp_path: Path) -> None:
    release = extract(tmp_path, vllm_files("class Other: ..."))
    assert release.records == {}
    assert "binds no name M" in str(release.unread[0])
