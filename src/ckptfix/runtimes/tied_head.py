"""A head that is not stored, although a release builds one.

vLLM builds the head of a tied model anyway, asks its quantization config for it, and then hands it
the weight of the embeddings: the scales of a quantized one are filled by nothing (vllm 0.33.0,
vllm/model_executor/models/llama.py; vllm/model_executor/layers/vocab_parallel_embedding.py
`ParallelLMHead.tie_weights`). SGLang takes the embeddings themselves for the head in most classes.
"""

from collections.abc import Iterator

from ckptfix.runtimes.family import Family
from ckptfix.runtimes.loads import Effect, Reason
from ckptfix.runtimes.module_verdict import UNQUANTIZED, ModuleJudge
from ckptfix.runtimes.runtime_module import RuntimeModule
from ckptfix.runtimes.structure import Expected, Tree
from ckptfix.runtimes.structure.tables import untied_because
from ckptfix.runtimes.toml_folder import facts_of
from ckptfix.text import visible


def tied_head_reasons(judge: ModuleJudge, family: Family, expected: Expected) -> Iterator[Reason]:
    """Why a head that is not stored stops a release or computes something else."""
    if not _builds_one(judge):
        return
    names = _looked_up(family)
    if not names:
        return
    tree = Tree(judge.checkpoint, family, expected, has_config=True, kv_cache=True)
    if tree.heads:
        return
    if expected.tied is False and family.learned is not None:
        why = f"the head is not stored, and {untied_because(tree)}"
        yield Reason(f"leaves weights uninitialised: {why}", Effect.WRONG_WEIGHTS)
    for name in names if expected.tied else ():
        yield from _quantized(judge, family, name)


def _builds_one(judge: ModuleJudge) -> bool:
    """Whether the class builds a head that is tied to the embeddings."""
    outer = judge.checkpoint.config.architectures[:1]
    listed = facts_of(judge.runtime.name).found("quantized_heads.toml")
    classes = listed.get("architectures", ())
    return judge.runtime.builds_tied_heads or any(name in classes for name in outer)


def _looked_up(family: Family) -> tuple[str, ...]:
    """The names that heads look up, of those that the classes build in any case."""
    if family.learned is not None:
        return family.learned.origin.heads
    if not family.spec.base:
        return ()
    above = family.spec.base.rpartition(".")[0]
    place = f"{above}.lm_head" if above else "lm_head"
    for stored in ("lm_head", place):
        if family.places.map(stored) == place:
            place = family.mapper.map(stored) or ""
            break
    return (place,) if family.modules.is_head(place) else ()


def _quantized(judge: ModuleJudge, family: Family, name: str) -> Iterator[Reason]:
    if family.modules.is_never_quantized(name, judge.checkpoint.config.values):
        return
    resolved, why = judge.resolved(RuntimeModule(name, (), "head", takes_quant_config=True))
    if resolved not in (UNQUANTIZED, "error"):
        text = f"builds {visible(name) or 'the head'} in {resolved}"
        why = f"but it is tied to the embeddings: {why}"
        yield Reason(f"{text}, {why}", Effect.WRONG_WEIGHTS)
