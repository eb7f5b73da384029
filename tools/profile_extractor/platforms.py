"""Which branch of a platform test a machine with an NVIDIA GPU takes.

The runtimes choose classes and tables by platform. Profiles are of the CUDA build, which is what
the wheels on PyPI are.
"""

import ast
from typing import Final

_OTHER: Final = frozenset(
    ("cpu", "gaudi", "hip", "hpu", "mps", "musa", "npu", "rocm", "tpu", "xpu")
)


def platform_truth(test: ast.expr) -> bool | None:
    """What a test for a platform gives with CUDA; None where it is no such test.

    A call or a name is taken by the words of its last identifier: `current_platform.is_rocm()`,
    `_is_hip`.
    """
    truth: bool | None = None
    match test:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inverse = platform_truth(operand)
            truth = None if inverse is None else not inverse
        case ast.BoolOp(op=operator, values=values):
            truths = [platform_truth(value) for value in values]
            decisive = isinstance(operator, ast.Or)
            if decisive in truths:
                truth = decisive
            elif None not in truths:
                truth = not decisive
        case ast.Call(func=function, args=[]):
            truth = platform_truth(function)
        case ast.Attribute(attr=name) | ast.Name(id=name):
            truth = _named_truth(name)
    return truth


def _named_truth(name: str) -> bool | None:
    words = set(name.lower().split("_"))
    if "is" not in words:
        return None
    if "cuda" in words:
        return True
    other = words & _OTHER or any(word.startswith("gfx") for word in words)
    return False if other else None
