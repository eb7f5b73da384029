"""A torch function mode for building models: big tensors on meta, "cuda" means the CPU."""

from functools import cache
from typing import Any, Final

last_read: Final[list[Any]] = []
"""The tensor from which Python last read a value: loaders fill a parameter with that."""


def mode() -> Any:
    """A fresh mode, to be entered."""
    return _mode_class()()


@cache
def _mode_class() -> Any:  # noqa: C901 - a class that needs torch, one branch per kind of call
    import torch
    from torch.overrides import TorchFunctionMode
    from torch.utils._pytree import tree_map

    to_meta = {torch.empty, torch.empty_strided, torch.randn, torch.rand}
    filled = {torch.zeros, torch.ones, torch.full}
    factories = (
        to_meta
        | filled
        | {torch.arange, torch.tensor, torch.linspace, torch.eye, torch.randint, torch.randperm}
        | {torch.logspace, torch.as_tensor, torch.scalar_tensor, torch.tril_indices}
        | {torch.triu_indices, torch.zeros_like, torch.ones_like, torch.full_like}
        | {torch.empty_like, torch.rand_like, torch.randn_like}
    )
    reads_a_value = ("item", "tolist", "numpy", "__bool__", "__float__", "__int__")
    large = 1 << 22

    def device(value: Any) -> Any:
        named = isinstance(value, (str, torch.device)) and str(value).startswith("cuda")
        return torch.device("cpu") if named else value

    def elements(args: Any, kwargs: Any) -> int:
        first = args[0] if args else None
        sizes = first if isinstance(first, (tuple, list)) else kwargs.get("size")
        number = 1
        for size in sizes or [a for a in args if isinstance(a, int)]:
            number *= int(size)
        return number

    def on_meta(value: Any) -> Any:
        moves = isinstance(value, torch.Tensor) and not value.is_meta
        return value.detach().to("meta") if moves else value

    class Mode(TorchFunctionMode):
        def __torch_function__(  # noqa: PLR0911
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            kwargs = dict(kwargs or {})
            name = getattr(func, "__name__", "")
            if "device" in kwargs:
                kwargs["device"] = device(kwargs["device"])
            if func in factories:
                return self.make(func, args, kwargs)
            if name in ("cuda", "pin_memory") or (name == "cpu" and args[0].is_meta):
                return args[0]
            if name == "to":
                return self.move(func, args, kwargs)
            if name in reads_a_value and isinstance(args[0], torch.Tensor) and args[0].is_meta:
                last_read[:] = [args[0]]
                zeros = torch.zeros(args[0].shape, dtype=args[0].dtype, device="cpu")
                return func(zeros, *args[1:], **kwargs)
            try:
                return func(*args, **kwargs)
            except (RuntimeError, NotImplementedError) as error:
                if name == "copy_" and "meta" in str(error):
                    return args[0]
                if "meta" in str(error) or "same device" in str(error):
                    # Some on meta, some not: run it again with all of them on meta.
                    return func(*tree_map(on_meta, args), **tree_map(on_meta, kwargs))
                raise

        def make(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
            is_large = func in filled and elements(args, kwargs) > large
            if kwargs.get("device") is None and (func in to_meta or is_large):
                kwargs["device"] = torch.device("meta")
            if kwargs.get("pin_memory"):
                kwargs["pin_memory"] = False
            if func in (torch.randint, torch.randperm):
                kwargs.pop("device", None)
            return func(*args, **kwargs)

        def move(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
            args = [device(a) for a in args]
            wished = [*args[1:], kwargs.get("device"), kwargs.get("dtype")]
            target = next((x for x in wished if isinstance(x, (str, torch.device))), None)
            if args[0].is_meta and target is not None and torch.device(target).type == "cpu":
                dtypes = [x for x in wished if isinstance(x, torch.dtype)]
                dtype = dtypes[0] if dtypes else args[0].dtype
                return args[0] if dtype == args[0].dtype else func(args[0], dtype)
            return func(*args, **kwargs)

    return Mode
