"""Which parameter every tensor reaches: load_weights over meta tensors, storages followed."""

from typing import Any, Final

from place_learner.built import Built
from place_learner.forks import short
from place_learner.meta_mode import last_read, mode
from place_learner.state_names import Tensors

_WRITING: Final = ("copy_", "fill_", "set_", "index_copy_", "index_put_", "add_", "mul_")
_MOST_ERRORS: Final = 400


def load(built: Built, tensors: Tensors) -> dict[str, Any]:
    """What becomes of the tensors.

    One pass with all of them, as a user has it; where that raises, the rest tensor by tensor.
    `lands`: tensor -> [parameter, offset in it]; `errors`: tensor or `*` -> text; `unused`: tensors
    that are taken and go nowhere; `never_written`: parameters that stay as they were; `tensors`:
    name -> shape.
    """
    import torch

    lands: dict[str, list[tuple[str, int]]] = {}
    tracer, items = _follow(built.model, tensors)
    errors: dict[str, str] = {}

    def run(some: list[tuple[str, Any]]) -> None:
        last_read.clear()
        with torch.no_grad(), built.loading(), mode(), tracer(lands):
            built.model.load_weights(iter(some))

    try:
        run(items)
    except Exception as error:
        errors["*"] = short(error)
        for item in items:
            if item[0] not in lands and len(errors) < _MOST_ERRORS:
                try:
                    run([item])
                except Exception as one:
                    errors[item[0]] = short(one, 200)
    parameters = dict(built.model.named_parameters())
    reached = {parameter for some in lands.values() for parameter, _ in some}
    # Some classes keep the parameters of all experts in one storage.
    written = {_storage(parameters[name]) for name in reached if name in parameters}
    unwritten = [name for name, p in parameters.items() if _storage(p) not in written]
    return {
        "single_pass": "*" not in errors,
        "lands": lands,
        "errors": errors,
        "unused": [n for n in tensors if n not in lands and n not in errors],
        "never_written": sorted(unwritten),
        "tensors": {name: list(tensor.shape) for name, tensor in tensors.items()},
    }


def _storage(tensor: Any) -> int:
    key: int = tensor.untyped_storage()._cdata
    return key


def _follow(  # noqa: C901 - a class that needs torch
    model: Any, tensors: Tensors
) -> tuple[Any, list[tuple[str, Any]]]:
    """A dispatch mode that notes writes into parameters, and tensors that it knows by storage."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_flatten

    owners: dict[int, str] = {}
    tags: dict[int, set[str]] = {}
    keep: list[Any] = []  # a storage that is freed may be another's next
    for name, parameter in [*model.named_parameters(), *model.named_buffers()]:
        owners.setdefault(_storage(parameter), name)
        keep.append(parameter)

    def flat(value: Any) -> list[Any]:
        return [x for x in tree_flatten(value)[0] if isinstance(x, torch.Tensor)]

    class Tracer(TorchDispatchMode):
        def __init__(self, lands: dict[str, list[tuple[str, int]]]) -> None:
            super().__init__()
            self.lands = lands

        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            kwargs = kwargs or {}
            given = flat((args, kwargs))
            copies = func.__name__.startswith(("copy_", "fill_")) and len(given) > 1
            if copies and given[0].is_meta != given[1].is_meta:
                target, source = given[0].shape, given[1].shape
                if torch.broadcast_shapes(target, source) != target:
                    raise RuntimeError(f"shape {list(source)} into {list(target)}")
                out = given[0]
            else:
                out = func(*args, **kwargs)
            sources = set().union(*(tags.get(_storage(x), ()) for x in given[1:]))
            if func.__name__.startswith(_WRITING) and given:
                if not sources and last_read:
                    sources = tags.get(_storage(last_read[0]), set())
                self.write(given[0], sources)
            for made in flat(out):
                known = sources | tags.get(_storage(given[0]), set()) if given else set()
                if known and _storage(made) not in owners:
                    keep.append(made)
                    tags[_storage(made)] = tags.get(_storage(made), set()) | known
            return out

        def write(self, target: Any, sources: set[str]) -> None:
            parameter = owners.get(_storage(target))
            for source in sources if parameter is not None else ():
                reached = self.lands.setdefault(source, [])
                if parameter not in [name for name, _ in reached]:
                    reached.append((str(parameter), target.storage_offset()))

    items = []
    for name, tensor in tensors.items():
        own = torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
        keep.append(own)
        tags[_storage(own)] = {name}
        items.append((name, own))
    return Tracer, items
