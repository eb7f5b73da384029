"""It reads config.json alone, and excludes whole names only."""

from dataclasses import dataclass
from typing import Final

from ckptfix.checkpoint.dialects.statements import CONFIG_FILE, CONFIG_ROOT
from ckptfix.runtimes.common.effective import EffectiveMetadata
from ckptfix.runtimes.common.exclusion import excluded
from ckptfix.runtimes.common.layer_maps import Files
from ckptfix.runtimes.common.lookup_rules import LookupRules, MappingRules
from ckptfix.runtimes.common.objects import StopsError, json_object
from ckptfix.runtimes.common.patterns import Excluded, Packed, PatternTable
from ckptfix.runtimes.interface import Runtime

_ALGOS: Final = frozenset({"FP8", "NVFP4"})


@dataclass(frozen=True)
class _WholeNames:
    table: PatternTable

    def find(self, name: str) -> Excluded | None:
        return excluded("exact", self.table.equal_to(name))

    def find_for_layer(self, name: str, *, experts: bool) -> Excluded | None:
        del experts
        return self.find(name)


def _exclusion(
    version: str, quant_algo: str, patterns: PatternTable, packed: Packed
) -> _WholeNames:
    del version, quant_algo, packed
    return _WholeNames(patterns)


def _read(files: Files, version: str, architecture: str) -> EffectiveMetadata | None:
    del version, architecture
    found = files.documents[CONFIG_FILE].value.get(CONFIG_ROOT[0])
    if found is None:
        return None
    fields = json_object(CONFIG_FILE, CONFIG_ROOT, found)
    algo = fields.string("quant_algo")
    if algo not in _ALGOS | {"MIXED_PRECISION"}:
        raise StopsError(f"{fields.place('quant_algo')} is not one that it knows")
    excludes = files.excludes(fields, "ignore")
    return EffectiveMetadata(CONFIG_FILE, CONFIG_ROOT, algo, files.entries(fields), excludes)


RUNTIME: Final = Runtime(
    name="made_up",
    title="Made Up",
    order=3,
    serve_command="made-up --weights {}",
    override_flag="--override",
    reads=(CONFIG_FILE,),
    lookup_rules=(
        LookupRules(
            since="1.0", mapping=MappingRules(()), dispatched=_ALGOS, dispatched_experts=_ALGOS
        ),
    ),
    read=_read,
    exclusion=_exclusion,
)
