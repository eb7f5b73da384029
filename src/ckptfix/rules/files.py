"""CKF5xx: the files of a checkpoint against each other."""

from collections.abc import Iterable

from ckptfix.errors import Place
from ckptfix.names import visible
from ckptfix.rules.finding import Context, Finding, Severity, rule


@rule(
    "CKF502",
    "index and shard headers disagree",
    Severity.ERROR,
    why=(
        "The loader looks for a tensor in the shard file that the index names. A stale index "
        "leaves weights uninitialised or stops the load (vllm-project/vllm-omni issue 2517)."
    ),
    fix="Rebuild model.safetensors.index.json from the headers.",
)
def index_disagrees(context: Context) -> Iterable[Finding]:
    """Tensors that the index places where no header lists them, or does not place at all."""
    table = context.checkpoint.table
    if table.index_file is None:
        return
    for tensor, file in table.missing:
        elsewhere = table.file_of.get(tensor)
        where = f"it is in {elsewhere}" if elsewhere else "no shard file has it"
        yield Finding(
            "CKF502",
            tensor,
            f"is placed in {file} by the index, and {where}",
            Place(table.index_file, f"/weight_map/{visible(tensor)}"),
            "rebuild the index",
        )
    missing = {tensor for tensor, _ in table.missing}
    for tensor, file in table.unindexed:
        if tensor not in missing:
            yield Finding(
                "CKF502",
                tensor,
                f"is in {file} and the index does not place it there",
                Place(file, tensor=visible(tensor)),
                "rebuild the index",
            )
