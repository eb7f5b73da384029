"""CKF109: tensors under names that no runtime can load."""

from collections.abc import Iterable
from typing import Final

from ckptfix.rules.context import Context
from ckptfix.rules.finding import Family, Finding, Repair, Severity
from ckptfix.rules.reading import place_of
from ckptfix.runtimes.tensor_maps import choose_tensor_map

FAMILY: Final = Family("CKF1", "names")


@FAMILY.rule(
    "CKF109",
    "tensors are stored under a name that no runtime can load",
    Severity.ERROR,
    why=(
        "The native NemotronH of transformers 5 stores backbone.embedding.weight, but the "
        "runtimes only map embeddings. vLLM 0.33.0 stops: no module or parameter named "
        "'model.embedding'. SGLang 0.5.10.post1 to 0.5.23 log a warning and serve with an "
        "embedding that was never loaded. Names that start with what wrapped the model in training "
        "(module, _orig_mod, base_model.model) are loaded nowhere either."
    ),
    fix="`rewrite(tensors=True)` renames them in the header of the shard file. Changing the "
    "metadata does not help, because it does not decide where a tensor is loaded.",
    fixed_by=Repair.TENSORS,
    since="0.1.0",
    blocks_loading=True,
    example="""
    config.json
      "architectures": ["NemotronHForCausalLM"]
    model.safetensors
    - backbone.embedding stored as BF16
    + backbone.embeddings stored as BF16
    """,
)
def unloadable_name(context: Context) -> Iterable[Finding]:
    """Modules whose tensors no release loads, if a name that works is known."""
    config = context.checkpoint.config
    name_map = choose_tensor_map(config.architectures, config.nested, without="expert_order")
    for name in context.checkpoint.modules:
        new = name_map.mapper.map(name)
        if new is not None and new != name:
            yield context.finding(
                subject=name,
                message="has tensor names that no runtime can load",
                place=place_of(context.checkpoint, name),
                effect="renames them",
                modules=(name,),
                expected=new,
            )
