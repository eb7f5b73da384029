"""Small source trees in the shape of the runtimes, and what is extracted from them."""

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

from ckptfix.runtimes.profile_store import ArchitectureRecord
from profile_extractor.release import ExtractedRelease, extract_release
from profile_extractor.source_tree import open_source_tree

MAPPER = """
    from dataclasses import dataclass, field

    @dataclass
    class WeightsMapper:
        orig_to_new_regex: dict = field(default_factory=dict)
        orig_to_new_substr: dict = field(default_factory=dict)
        orig_to_new_prefix: dict = field(default_factory=dict)
        orig_to_new_suffix: dict = field(default_factory=dict)

        def __or__(self, other):
            return WeightsMapper(
                orig_to_new_regex={**self.orig_to_new_regex, **other.orig_to_new_regex},
                orig_to_new_substr={**self.orig_to_new_substr, **other.orig_to_new_substr},
                orig_to_new_prefix=self.orig_to_new_prefix | other.orig_to_new_prefix,
                orig_to_new_suffix=self.orig_to_new_suffix | other.orig_to_new_suffix,
            )

    def maybe_prefix(prefix, name):
        return f"{prefix}.{name}" if prefix else name
"""
INTERFACES = """
    class SupportsQuant:
        hf_to_vllm_mapper = None
"""
MODELS = "vllm/model_executor/models"
HEAD = "from .interfaces import SupportsQuant\nfrom .utils import WeightsMapper, maybe_prefix\n"


def vllm_files(model: str, others: Mapping[str, str] | None = None) -> dict[str, str]:
    """A vLLM that registers the class `M` of a module, as the architecture `Arch`."""
    return {
        f"{MODELS}/registry.py": '_TEXT = {"Arch": ("m", "M")}\n_VLLM_MODELS = {**_TEXT}\n',
        f"{MODELS}/utils.py": dedent(MAPPER),
        f"{MODELS}/interfaces.py": dedent(INTERFACES),
        f"{MODELS}/m.py": HEAD + dedent(model),
        **{path: dedent(text) for path, text in (others or {}).items()},
    }


def sglang_files(model: str) -> dict[str, str]:
    """An SGLang with one module of models."""
    return {
        "sglang/srt/models/__init__.py": "",
        "sglang/srt/models/utils.py": dedent(MAPPER),
        "sglang/srt/models/m.py": "from sglang.srt.models.utils import WeightsMapper\n"
        + dedent(model),
    }


def write_directory(path: Path, wheel: str, files: Mapping[str, str]) -> Path:
    """A directory that a wheel was unpacked to."""
    for name, text in files.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    record = path.with_name(path.name + ".sha256")
    record.write_text(f"{hashlib.sha256(wheel.encode()).hexdigest()}  {wheel}\n")
    return path


def write_wheel(path: Path, files: Mapping[str, str]) -> Path:
    """A wheel."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def extract(tmp_path: Path, files: Mapping[str, str], runtime: str = "vllm") -> ExtractedRelease:
    """What is read from a tree."""
    path = write_directory(tmp_path / "unpacked", f"{runtime}-1.0-py3-none-any.whl", files)
    return extract_release(open_source_tree(path))


def vllm_record(
    tmp_path: Path, model: str, others: Mapping[str, str] | None = None
) -> ArchitectureRecord:
    """The record of the class `M`, of which everything can be read."""
    release = extract(tmp_path, vllm_files(model, others))
    assert release.unread == ()
    return release.records["Arch"]
