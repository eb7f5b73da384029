"""Stand-ins for packages that are compiled, absent or irrelevant: they have every attribute."""

import contextlib
import importlib.abc
import importlib.machinery
import re
import sys
import types
from collections.abc import Collection, Iterator
from typing import Any, Final

_FILL_THEIR_OUTPUT: Final = frozenset({"per_tensor_quant_fp8"})
"""Operators that loaders call and that return nothing: without contents nothing is to be done."""
found: set[str] = set()
"""Packages that were imported as stand-ins."""


class Blob:
    """Callable, subscriptable, the number 1 in arithmetic; as a decorator it changes nothing."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return args[0] if len(args) == 1 and callable(args[0]) and not kwargs else self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Blob()

    def __getitem__(self, key: Any) -> Any:
        return self

    def __mro_entries__(self, bases: Any) -> tuple[type, ...]:
        return (object,)

    def __or__(self, other: Any) -> Any:
        return self

    __ror__ = __or__

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 1

    def __lt__(self, other: Any) -> bool:
        return False

    __le__ = __lt__

    def __gt__(self, other: Any) -> bool:
        return True

    __ge__ = __gt__

    def __int__(self) -> int:
        return 1

    __index__ = __int__

    def __float__(self) -> float:
        return 1.0

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        return False

    def __mul__(self, other: Any) -> Any:
        return other

    __rmul__ = __add__ = __radd__ = __rfloordiv__ = __rtruediv__ = __mul__

    def __floordiv__(self, other: Any) -> int:
        return 1

    __truediv__ = __sub__ = __rsub__ = __floordiv__


class _ClassMeta(type):
    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Blob()

    def __getitem__(cls, key: Any) -> Any:
        return cls


def _schema(*_: Any) -> Any:
    from pydantic_core import core_schema

    return core_schema.any_schema()


class BlobModule(types.ModuleType):
    """A module that has every attribute: classes for Capitalised names, Blobs for the rest."""

    __version__ = "3.0.0"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value: Any = Blob()
        if name[0].isupper() and not name.isupper():
            body = {
                "__module__": self.__name__,
                "__get_pydantic_core_schema__": classmethod(_schema),
            }
            value = _ClassMeta(name, (Blob,), body)
        setattr(self, name, value)
        return value


class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds packages whose root is in `roots`, or whose full name matches `pattern`."""

    def __init__(self, roots: Collection[str] = (), pattern: str = "") -> None:
        self.roots = frozenset(roots)
        self.pattern = re.compile(pattern) if pattern else None

    def find_spec(self, name: str, *_: Any) -> importlib.machinery.ModuleSpec | None:
        """A spec if the package is replaced."""
        named = self.pattern is not None and self.pattern.search(name)
        if name.partition(".")[0] in self.roots or named:
            found.add(name.partition(".")[0] if not named else name)
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        """The stand-in."""
        module = BlobModule(spec.name)
        module.__path__ = []
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing runs."""


@contextlib.contextmanager
def for_a_while(roots: Collection[str]) -> Iterator[None]:
    """Packages that are absent can be imported, and are absent again afterwards."""
    finder = StandIns(roots)
    sys.meta_path.append(finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name, module in list(sys.modules.items()):
            if isinstance(module, BlobModule) and name.partition(".")[0] in finder.roots:
                del sys.modules[name]


def missing_ops(namespaces: Collection[str] = ()) -> None:
    """torch.ops.<namespace>.<missing> raises when it is executed, not when it is looked up.

    Args:
        namespaces: only of these; empty: of all.
    """
    import torch._ops

    class Operator(Blob):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.operator = name

        def __call__(self, *_: Any, **__: Any) -> Any:
            if self.operator not in _FILL_THEIR_OUTPUT:
                raise NotImplementedError(f"stubbed op {self.operator}")

    real = torch._ops._OpNamespace.__getattr__

    def lookup(self: Any, name: str) -> Any:
        try:
            return real(self, name)
        except AttributeError:
            if name.startswith("__") or (namespaces and self.name not in namespaces):
                raise
            return Operator(name)

    setattr(torch._ops._OpNamespace, "__getattr__", lookup)  # noqa: B010


def no_processors() -> None:
    """Tokenizers and image processors are never available and affect no module."""
    import transformers
    from transformers.processing_utils import ProcessorMixin

    any_processor = type("AnyProcessor", (Blob, ProcessorMixin), {})
    for name in (
        *("AutoTokenizer", "AutoProcessor", "AutoImageProcessor", "AutoVideoProcessor"),
        "AutoFeatureExtractor",
    ):
        stand_in = any_processor if name == "AutoProcessor" else Blob
        try:
            automatic = getattr(transformers, name)
            automatic.from_pretrained = classmethod(lambda *_, made=stand_in, **__: made())
        except Exception:  # not in this release
            continue
    if hasattr(ProcessorMixin, "check_argument_for_proper_class"):
        ProcessorMixin.check_argument_for_proper_class = lambda *_, **__: None
    ProcessorMixin.__repr__ = lambda _: "processor"  # the real one writes itself out as JSON
