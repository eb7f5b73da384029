"""A head that is not stored, because it is tied to the embeddings, but that a release quantizes.

vLLM builds the head anyway, asks its quantization config for it, and then hands it the weight
of the embeddings: the scales of a quantized one are filled by nothing (vllm 0.33.0,
vllm/model_executor/models/llama.py; vllm/model_executor/layers/vocab_parallel_embedding.py
`ParallelLMHead.tie_weights`). SGLang takes the embeddings themselves for the head.
"""

from collections.abc import Iterator

from ckptfix.runtimes.family import Family
from ckptfix.runtimes.loads import Effect, Reason
from ckptfix.runtimes.module_verdict import UNQUANTIZED, ModuleJudge
from ckptfix.runtimes.runtime_module import RuntimeModule
from ckptfix.runtimes.structure import Expected, Tree
from ckptfix.runtimes.structure.tables import is_tied
from ckptfix.text import visible


def tied_head_reasons(judge: ModuleJudge, family: Family, expected: Expected) -> Iterator[Reason]:
    """Why a head that is not stored stops a release or computes something else."""
    if not judge.runtime.builds_tied_heads or not family.spec.base:
        return
    tree = Tree(judge.checkpoint, family, expected, has_config=True, kv_cache=True)
    above = family.spec.base.rpartition(".")[0]
    name = f"{above}.lm_head" if above else "lm_head"
    known = family.is_head(name) and not family.is_never_quantized(
        name, judge.checkpoint.config.values
    )
    if not known or not is_tied(tree) or tree.heads:
        return
    head = RuntimeModule(name, (), "head", takes_quant_config=True)
    resolved, why = judge.resolved(head)
    if resolved not in (UNQUANTIZED, "error"):
        text = f"builds {visible(name)} in {resolved}, but it is tied to the embeddings: {why}"
        yield Reason(text, Effect.WRONG_WEIGHTS)
