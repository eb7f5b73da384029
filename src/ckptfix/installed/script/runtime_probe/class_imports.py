"""Why a model class does not import: a registry catches that, and says that it is unsupported."""

import logging
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

_VLLM_TRIES: Final = ("_try_inspect_model_cls", "_try_load_model_cls")


class CaughtByVllm:
    """The first class that vLLM's registry could not import."""

    def __init__(self, registry: Any) -> None:
        self._failed: Any = None
        for name in _VLLM_TRIES:
            if hasattr(registry, name):
                setattr(registry, name, self._noting(getattr(registry, name)))

    def _noting(self, real: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
        def tries(architecture: str, model: Any) -> Any:
            found = real(architecture, model)
            if found is None and self._failed is None:
                self._failed = model
            return found

        return tries

    def error(self) -> Exception | None:
        """What its import raises; None if all that were needed were imported.

        The registry may import in another process, of which only a text comes back.
        """
        if self._failed is None:
            return None
        try:
            self._failed.load_model_cls()
        except Exception as error:
            return error
        return None


class CaughtBySglang(logging.Handler):
    """The model files that SGLang's registry left out, from the warnings that it logs."""

    _named: Final = re.compile(r"import error when loading ([\w.]+)")

    def __init__(self, logger: str = "sglang.srt.models.registry") -> None:
        super().__init__()
        self._errors: dict[str, BaseException] = {}
        logging.getLogger(logger).setLevel(logging.WARNING)
        logging.getLogger(logger).addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the error that is being handled."""
        named, error = self._named.search(record.getMessage()), sys.exc_info()[1]
        if named and error is not None:
            self._errors[named[1]] = error

    def error(self, architecture: str) -> BaseException | None:
        """What the import of the file with the class raised; None if no file was left out."""
        of_class = re.compile(rf"^class {re.escape(architecture)}\b", re.MULTILINE)
        for name, error in self._errors.items():
            if any(of_class.search(file.read_text("utf-8")) for file in _files_of(name)):
                return error
        return None


def _files_of(module: str) -> Iterator[Path]:
    """Where a module would be imported from, without trying it again."""
    package, _, name = module.rpartition(".")
    folders = getattr(sys.modules.get(package), "__path__", ())
    yield from (file for folder in folders if (file := Path(folder, f"{name}.py")).is_file())
