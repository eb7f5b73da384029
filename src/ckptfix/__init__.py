"""Check and repair the quantization metadata of LLM checkpoints for vLLM and SGLang.

The public API, documented in docs/python.md; whatever is not in `__all__` may change. Nothing is
imported before it is used, so that the command line starts quickly.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ckptfix.errors import CkptfixError as CkptfixError
    from ckptfix.operations.check import check as check
    from ckptfix.operations.checked import CheckedCheckpoint as CheckedCheckpoint
    from ckptfix.operations.checked import ReleaseAnswer as ReleaseAnswer
    from ckptfix.operations.compare import Comparison as Comparison
    from ckptfix.operations.compare import compare as compare
    from ckptfix.operations.inspect import Inspection as Inspection
    from ckptfix.operations.inspect import inspect as inspect
    from ckptfix.operations.plan import RewritePlan as RewritePlan
    from ckptfix.operations.plan import plan as plan
    from ckptfix.operations.resolve import ResolvedModules as ResolvedModules
    from ckptfix.operations.resolve import resolve as resolve
    from ckptfix.operations.rewrite import RewriteRefusedError as RewriteRefusedError
    from ckptfix.operations.rewrite import RewriteResult as RewriteResult
    from ckptfix.operations.rewrite import rewrite as rewrite
    from ckptfix.operations.rewrite import undo as undo
    from ckptfix.operations.verify import verify as verify
    from ckptfix.place import Place as Place
    from ckptfix.progress import Listener as Listener
    from ckptfix.progress import Step as Step
    from ckptfix.rules.finding import Finding as Finding
    from ckptfix.rules.finding import Severity as Severity
    from ckptfix.verifying.outcome import VerifyReport as VerifyReport

__version__ = "0.2.0"

_HOME = {
    "check": "ckptfix.operations.check",
    "compare": "ckptfix.operations.compare",
    "inspect": "ckptfix.operations.inspect",
    "plan": "ckptfix.operations.plan",
    "resolve": "ckptfix.operations.resolve",
    "rewrite": "ckptfix.operations.rewrite",
    "undo": "ckptfix.operations.rewrite",
    "verify": "ckptfix.operations.verify",
    "CheckedCheckpoint": "ckptfix.operations.checked",
    "CkptfixError": "ckptfix.errors",
    "Comparison": "ckptfix.operations.compare",
    "Finding": "ckptfix.rules.finding",
    "Inspection": "ckptfix.operations.inspect",
    "Listener": "ckptfix.progress",
    "Place": "ckptfix.place",
    "ReleaseAnswer": "ckptfix.operations.checked",
    "ResolvedModules": "ckptfix.operations.resolve",
    "RewritePlan": "ckptfix.operations.plan",
    "RewriteRefusedError": "ckptfix.operations.rewrite",
    "RewriteResult": "ckptfix.operations.rewrite",
    "Severity": "ckptfix.rules.finding",
    "Step": "ckptfix.progress",
    "VerifyReport": "ckptfix.verifying.outcome",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
