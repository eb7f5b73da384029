"""What was written by reading the classes, against what they were seen to do."""

import pytest

from ckptfix.checkpoint.modules import group_modules
from ckptfix.checkpoint.safetensors import Tensor
from ckptfix.runtimes.family import Family, family_for
from ckptfix.runtimes.family_files import builtin_family_files
from ckptfix.runtimes.learned.placing import learned_modules
from ckptfix.runtimes.learned.store import Learned, learned, learned_releases
from ckptfix.runtimes.placing import runtime_modules
from ckptfix.runtimes.registry import known_runtimes
from ckptfix.runtimes.runtime_module import RuntimeModule

EXPLAINED = {
    ("sglang", "DeepseekV4ForCausalLM"): (
        "wo_a takes a config of FP8 blocks only, which the recorder is not, and that config has no "
        "method for heads"
    ),
    ("sglang", "MiniMaxM3SparseForConditionalGeneration"): (
        "names without language_model. were tried, which no checkpoint has; the loader takes them "
        "for the tower's, and they reach layers that are looked up with it"
    ),
    ("vllm", "Gemma4ForConditionalGeneration"): (
        "towers take a config only where their sizes are multiples of 64, which those of the "
        "published one that was built are not"
    ),
}
"""Entries that must differ, and why; one that has come to agree is no longer needed here."""

WRITTEN = sorted(
    (spec.runtime, architecture)
    for file in builtin_family_files().values()
    for spec in file.families
    for architecture in spec.architectures
)
NEWEST = {runtime: learned_releases(runtime)[-1] for runtime in known_runtimes()}


def asked(modules: tuple[RuntimeModule, ...]) -> dict[str, str | None]:
    """Checkpoint module -> what it is asked for as; None where it takes no config."""
    return {
        member: module.name if module.takes_quant_config else None
        for module in modules
        if module.kind not in ("embedding", "other")
        for member in module.members
    }


def differences(known: Learned, family: Family) -> dict[str, tuple[str | None, str | None]]:
    """Checkpoint module -> what it was seen to ask for, what is written."""
    table = known.names
    stored = {
        f"{row.stored.replace('#', '0')}.weight": Tensor("BF16", (64, 64), 0)
        for row in table.rows.values()
        if f"{row.stored}.weight" in table.tensors and row.stored not in table.unclear
    }
    modules = group_modules(stored)
    seen = asked(learned_modules(modules, table))
    written = asked(runtime_modules(modules, family))
    return {
        name: (seen.get(name), written.get(name))
        for name in seen.keys() & written.keys()
        if seen[name] != written[name]
    }


@pytest.mark.parametrize(("runtime", "architecture"), sorted(set(WRITTEN)), ids=str)
def test_written_entries_describe_what_the_classes_did(runtime: str, architecture: str) -> None:
    version = NEWEST[runtime]
    family = family_for(runtime, version, [architecture])
    known = learned(runtime, version, architecture)
    if family is None or known is None or not known.is_certain:
        pytest.skip("not learned, or not for this release")
    found = differences(known, family)
    if (runtime, architecture) in EXPLAINED:
        assert found, "it agrees by now"
    else:
        assert not found
