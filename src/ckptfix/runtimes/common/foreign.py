"""A quant_method in config.json that is not ModelOpt's: it decides, whatever other files exist."""

from collections.abc import Collection
from typing import Final

from ckptfix.runtimes.common.objects import JsonObject, StopsError
from ckptfix.text import visible

_NEEDS: Final = {"fp8": ("activation_scheme",), "awq": ("w_bit", "bits"), "gptq": ("bits",)}
"""quant_method -> fields of which its config class needs one (`get_from_keys`)."""


class NotModelOptError(Exception):
    """Another quantizer's config class reads the metadata; the message names it."""

    def __init__(self, message: str, found: JsonObject, method: str) -> None:
        super().__init__(message)
        self.found, self.method = found, method


class NotModelledError(NotModelOptError):
    """ModelOpt's config class of a release that is not known; the message says what is not."""


def not_supported(found: JsonObject, method: str) -> StopsError:
    """The error of a release that has no class for a quant_method."""
    return found.stop(f': "{visible(method)}" is not a supported method', "quant_method")


def only_online(found: JsonObject, method: str) -> StopsError:
    """The error of one whose class takes no quantized checkpoint."""
    problem = f': "{visible(method)}" quantizes unquantized checkpoints while loading'
    return found.stop(problem, "quant_method")


def require_modelopt(
    found: JsonObject, method: str, *, own: Collection[str], known: Collection[str]
) -> None:
    """Refuse metadata that is read by a class other than ModelOpt's.

    Args:
        found: the object that names the method.
        method: its quant_method, as the runtime compares it.
        own: values that ModelOpt's classes read.
        known: values that some other class reads in some known release.

    Raises:
        StopsError: the release has no such method, or its class does not find what it needs.
        NotModelOptError: another quantizer's class reads it.
    """
    if method in own:
        return
    if method not in known:
        raise not_supported(found, method)
    needs = _NEEDS.get(method, ())
    if needs and not any(key in found for key in needs):
        named = " or ".join(needs)
        problem = f' is "{method}", and {found.place()} has no {named}, which that needs'
        raise found.stop(problem, "quant_method")
    raise NotModelOptError(f'{found.place("quant_method")} is "{method}"', found, method)
