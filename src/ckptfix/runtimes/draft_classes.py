"""Which class a runtime builds for the draft layers that are stored with a model.

`<runtime>/drafts.toml` names them, by the architecture of the model.
"""

from collections.abc import Mapping

from ckptfix.runtimes.toml_folder import facts_of


def draft_classes(runtime: str) -> Mapping[str, str]:
    """Architecture -> class; empty for a runtime of which none is known."""
    return facts_of(runtime).found("drafts.toml")


def is_draft(runtime: str, architecture: str) -> bool:
    """Whether a class is built for draft layers."""
    return architecture in draft_classes(runtime).values()
