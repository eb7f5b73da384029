"""Names that match nothing, for quantizers that match names in their own way."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msgspec.structs import replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.dialects.interface import Reading
from ckptfix.checkpoint.dialects.statements import MetadataFile, Statement
from ckptfix.checkpoint.expert_banks import EXPERTS
from ckptfix.names import is_class_name
from ckptfix.rules.context import Context
from ckptfix.rules.finding import Finding
from ckptfix.rules.misread import leaves_out
from ckptfix.rules.names import is_about_absent_modules, matches_nothing
from ckptfix.runtimes.release_names import newest_release_names
from ckptfix.text import visible

_TWICE_ESCAPED: Final = re.compile(r"\\\\")


@matches_nothing.in_own_reading
def matches_nothing_as_read(context: Context) -> Iterable[Finding]:
    """Names that match no module in any spelling that some release maps to its own."""
    reading = context.checkpoint.dialect.reading
    if reading is None:
        return
    for metadata in context.checkpoint.metadata:
        for key, statements in _by_key(metadata).items():
            idle = [s for s in statements if not _matches_some(context, reading, s)]
            if key in reading.alternatives and len(idle) < len(statements):
                continue
            for statement in idle:
                if (advice := _advice(context, reading, statement)) is not None:
                    yield context.finding(
                        subject=statement.name,
                        message="matches no module of the checkpoint",
                        place=statement.place,
                        advice=advice,
                        depends_on_experts=EXPERTS in advice,
                    )


def _by_key(metadata: MetadataFile) -> Mapping[str, list[Statement]]:
    found: dict[str, list[Statement]] = {}
    for statement in metadata.statements:
        if not (statement.kind == "target" and is_class_name(statement.name)):
            found.setdefault(statement.key if statement.path else "", []).append(statement)
    return found


def _matches_some(context: Context, reading: Reading, statement: Statement) -> bool:
    checkpoint = context.checkpoint
    if statement.name in checkpoint.modules:
        return True
    if any(reading.matches(statement, name) for name in checkpoint.modules):
        return True
    for release in newest_release_names(checkpoint):
        mapped = statement
        if not reading.is_expression(statement):
            if release.meant_by(statement.name):
                return True
            mapped = replace(statement, name=release.names.map(statement.name) or statement.name)
        if any(reading.matches(mapped, name) for name in _names(checkpoint, release.every_name)):
            return True
    return False


def _names(checkpoint: Checkpoint, every: Iterable[str]) -> Iterator[str]:
    """Names in a release; in Mistral's own format also as the language model alone has them.

    Mistral AI's lists have those, whether or not the model has a tower: Mistral Small 4 in NVFP4
    lists `model.embed_tokens`, which vLLM builds as `language_model.model.embed_tokens`.
    """
    yield from every
    if checkpoint.is_mistral:
        wrappers = tuple(f"{prefix}." for prefix, _ in checkpoint.config.nested)
        for name in every:
            for wrapper in wrappers:
                yield name.removeprefix(wrapper)


def _advice(context: Context, reading: Reading, statement: Statement) -> str | None:
    """Advice on a name that matches nothing; None if that may be intended.

    A list for a whole family of models contains patterns and fragments for modules that one model
    lacks. A full name, or an expression that quantizes something, was written for this model.
    """
    if reading.is_expression(statement):
        once = replace(statement, name=_TWICE_ESCAPED.sub(r"\\", statement.name))
        if once.name != statement.name and _matches_some(context, reading, once):
            formats = context.checkpoint.formats
            meant = (stored for name, stored in formats.items() if reading.matches(once, name))
            if leaves_out(once) and any(stored.is_quantized for stored in meant):
                return "remove it: it is escaped twice, and the modules that it means are quantized"
            return f"it is escaped twice: write {visible(once.name)}"
        return "correct it, or remove it" if not leaves_out(statement) else None
    if "." not in statement.name or is_about_absent_modules(context.checkpoint, statement.name):
        return None
    nearest = context.naming.nearest(statement.name)
    return f"the nearest existing name is {visible(nearest)}" if nearest else "remove it"
