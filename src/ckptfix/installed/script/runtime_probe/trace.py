"""Which parameter every tensor reaches: load_weights over meta tensors, storages followed."""

from typing import Any, Final

from runtime_probe.built import Built
from runtime_probe.meta_mode import last_read, mode
from runtime_probe.texts import short

Tensors = dict[str, Any]
"""Name -> meta tensor."""

_WRITING: Final = ("copy_", "fill_", "set_", "index_copy_", "index_put_", "add_", "mul_")
_MOST_ERRORS: Final = 400


def load(built: Built, tensors: Tensors, *, others: bool = True) -> dict[str, Any]:
    """What happens to the tensors.

    One pass with all of them, as for a user; if that raises, the rest one by one if `others`.
    `lands`: tensor -> [parameter, offset in it]; `errors`: tensor or `*` -> text; `unused`: tensors
    that are accepted and go nowhere; `untried`: the rest, after many errors; `never_written`:
    parameters that keep their initial value; `tensors`: name -> shape; `casts`: [tensor, parameter,
    dtype of the tensor, of the parameter]; `copied`: tensor -> elements; `filled`: parameter ->
    [offset, elements] of every copy; `zeroed`: parameter -> the same of what the loader sets to 0.
    """
    import torch

    lands: dict[str, list[tuple[str, int]]] = {}
    tracer, items = _follow(built.model, tensors, lands)
    errors: dict[str, str] = {}

    def run(some: list[tuple[str, Any]]) -> None:
        last_read.clear()
        with torch.no_grad(), built.loading(), mode(), tracer:
            built.model.load_weights(iter(some))

    untried: list[str] = []
    try:
        run(items)
    except Exception as error:
        errors["*"] = short(error)
        for item in items if others else ():
            if item[0] in lands:
                continue
            if len(errors) >= _MOST_ERRORS:
                untried.append(item[0])
                continue
            try:
                run([item])
            except Exception as one:
                errors[item[0]] = short(one, 200)
    seen = {*lands, *errors, *untried}
    parameters = dict(built.model.named_parameters())
    reached = {parameter for some in lands.values() for parameter, _ in some}
    # Some classes keep the parameters of all experts in one storage.
    written = {_storage(parameters[name]) for name in reached if name in parameters}
    unwritten = [name for name, p in parameters.items() if _storage(p) not in written]
    return {
        "single_pass": "*" not in errors,
        "lands": lands,
        "errors": errors,
        "unused": [n for n in tensors if n not in seen],
        "untried": untried,
        "never_written": sorted(unwritten),
        "tensors": {name: list(tensor.shape) for name, tensor in tensors.items()},
        "casts": tracer.casts,
        "copied": tracer.copied,
        "filled": {name: sorted(parts) for name, parts in tracer.filled.items()},
        "zeroed": {name: sorted(parts) for name, parts in tracer.zeroed.items()},
    }


def place(built: Built, refused: Tensors) -> dict[str, str]:
    """Tensor of a matrix that the loader refused -> the parameter that it was meant for.

    The same name is sent again as the layer may want it: two values a byte become two values, or
    two values one byte. Changes parameters: call it after `load`.
    """
    import torch

    out: dict[str, str] = {}
    for factor, dtype in ((2.0, torch.bfloat16), (0.5, torch.uint8)):
        wanted = {
            name: torch.empty(
                (*t.shape[:-1], int(t.shape[-1] * factor)), dtype=dtype, device="meta"
            )
            for name, t in refused.items()
            if t.dim() == 2 and name not in out
        }
        lands: dict[str, list[tuple[str, int]]] = {}
        tracer, items = _follow(built.model, wanted, lands)
        for item in items:
            try:
                with torch.no_grad(), built.loading(), mode(), tracer:
                    built.model.load_weights(iter([item]))
            except Exception:  # not in this shape either
                continue
        out.update({name: reached[0][0] for name, reached in lands.items()})
    return out


def _storage(tensor: Any) -> int:
    key: int = tensor.untyped_storage()._cdata
    return key


def _part(tensor: Any) -> tuple[int, int]:
    return tensor.storage_offset(), tensor.numel()


def _follow(  # noqa: C901 - a class that needs torch
    model: Any, tensors: Tensors, lands: dict[str, list[tuple[str, int]]]
) -> tuple[Any, list[tuple[str, Any]]]:
    """A dispatch mode that records writes into parameters; it knows tensors by their storage."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_flatten

    owners: dict[int, list[tuple[int, str]]] = {}
    tags: dict[int, set[str]] = {}
    keep: list[Any] = []  # a storage that is freed may be another's next
    for name, parameter in [*model.named_parameters(), *model.named_buffers()]:
        owners.setdefault(_storage(parameter), []).append((parameter.storage_offset(), name))
        keep.append(parameter)

    def flat(value: Any) -> list[Any]:
        return [x for x in tree_flatten(value)[0] if isinstance(x, torch.Tensor)]

    class Tracer(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.casts: list[tuple[str, str, str, str]] = []
            self.copied: dict[str, int] = {}
            self.filled: dict[str, set[tuple[int, int]]] = {}
            self.zeroed: dict[str, set[tuple[int, int]]] = {}

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
                self.write(given[0], given[1] if len(given) > 1 else None, sources)
            if func.__name__.startswith("zero_") and (name := self.parameter(given[0])):
                self.zeroed.setdefault(name, set()).add(_part(given[0]))
            for made in flat(out):
                known = sources | tags.get(_storage(given[0]), set()) if given else set()
                if known and _storage(made) not in owners:
                    keep.append(made)
                    tags[_storage(made)] = tags.get(_storage(made), set()) | known
            return out

        def parameter(self, target: Any) -> str:
            """Of several in one storage the last that starts before; of those the first."""
            shared = owners.get(_storage(target), ())
            offset = target.storage_offset()
            start = max((known for known, _ in shared if known <= offset), default=None)
            first = shared[0][0] if shared and start is None else start
            return next((name for known, name in shared if known == first), "")

        def write(self, target: Any, source: Any, names: set[str]) -> None:
            parameter = self.parameter(target)
            if not parameter:
                return
            for name in names:
                reached = lands.setdefault(name, [])
                if parameter not in [known for known, _ in reached]:
                    reached.append((parameter, target.storage_offset()))
                if source is not None and source.dtype != target.dtype:
                    dtypes = str(source.dtype)[6:], str(target.dtype)[6:]
                    self.casts.append((name, parameter, *dtypes))
                number = target.numel() if source is None else source.numel()
                self.copied[name] = self.copied.get(name, 0) + number
            if names:
                self.filled.setdefault(parameter, set()).add(_part(target))

    items = []
    for name, tensor in tensors.items():
        own = torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
        keep.append(own)
        tags[_storage(own)] = {name}
        items.append((name, own))
    return Tracer(), items
