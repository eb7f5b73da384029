"""The profile of a release: every architecture that it registers, and what could not be read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from ckptfix.errors import CkptfixError
from ckptfix.runtimes.profile import ConfigMapper, NameRule
from ckptfix.runtimes.profile_store import ArchitectureRecord, ReleaseFile
from profile_extractor.config_dependence import sets_in_methods
from profile_extractor.interpreter import Interpreter
from profile_extractor.lookup import Lookup
from profile_extractor.registries import CONVENTIONS, Conventions
from profile_extractor.source_tree import SourceTree
from profile_extractor.sub_models import sub_models
from profile_extractor.values import (
    ClassDefinition,
    Instance,
    NotStaticError,
    Pattern,
    Unknown,
    Value,
)
from profile_extractor.writer import Records

_Part = TypeVar("_Part")

_PACKED: Final = "packed_modules_mapping"
_KINDS: Final = ConfigMapper.__struct_fields__
_WITHOUT_PLACE: Final = "renaming"
"""A kind of rule that vLLM applies to names as well and that a profile cannot hold."""


@dataclass(frozen=True)
class Unread:
    """Something of an architecture that the source alone does not show it."""

    architecture: str
    where: str
    """Class and file."""
    what: str

    def __str__(self) -> str:
        return f"{self.architecture} ({self.where}): {self.what}"


@dataclass(frozen=True)
class ExtractedRelease:
    """What was read of one release."""

    head: ReleaseFile
    """Without architectures."""
    records: Records
    unread: tuple[Unread, ...]


def extract_release(tree: SourceTree) -> ExtractedRelease:
    """Read the profile of a release from its source.

    Raises:
        CkptfixError: the runtime is not known, or it registers no models where they are expected.
    """
    conventions = CONVENTIONS.get(tree.runtime)
    if conventions is None:
        raise CkptfixError(
            f"{tree.wheel}: no profile can be made of {tree.runtime}",
            advice=f"known are {', '.join(CONVENTIONS)}",
        )
    interpreter = Interpreter(Lookup(tree))
    records: dict[str, ArchitectureRecord] = {}
    unread: list[Unread] = []
    for architecture, definition in conventions.registered(interpreter):
        if isinstance(definition, NotStaticError):
            unread.append(Unread(architecture, "class not found", str(definition)))
            continue
        reader = _Reader(interpreter, conventions, definition)
        records[architecture] = reader.record()
        where = f"{definition.name} in {definition.module.path}"
        unread += [Unread(architecture, where, what) for what in reader.unread]
    head = ReleaseFile(tree.runtime, tree.version, f"{tree.wheel} sha256 {tree.sha256}")
    return ExtractedRelease(head, records, tuple(unread))


class _Reader:
    """Reads one class."""

    def __init__(
        self, interpreter: Interpreter, conventions: Conventions, definition: ClassDefinition
    ) -> None:
        self.interpreter = interpreter
        self.conventions = conventions
        self.definition = definition
        self.unread: list[str] = []

    def record(self) -> ArchitectureRecord:
        """The record of the class, without the parts that could not be read."""
        definition = self.definition
        head = (definition.name, definition.module.path)
        try:
            order = self.interpreter.order(definition)
        except NotStaticError as reason:
            self.unread.append(f"base classes: {reason}")
            return ArchitectureRecord(*head)
        marker = self.conventions.quantized_marker
        mapper = self._read("name mapper", self._mapper)
        rules = mapper or ConfigMapper()
        # The marker itself holds the code that applies the tables, which is no model's choice.
        models = [c for c in order if c.name != marker]
        varies = sets_in_methods(models, {self.conventions.mapper, _PACKED})
        return ArchitectureRecord(
            *head,
            regex=rules.regex,
            substr=rules.substr,
            prefix=rules.prefix,
            suffix=rules.suffix,
            has_mapper=mapper is not None,
            packed=self._read("packed modules", self._packed),
            supports_quant=any(c.name == marker for c in order),
            sub_models=sub_models(self.interpreter, definition),
            depends_on_config=varies or self._has_mapper_method() or bool(self.unread),
        )

    def _read(self, part: str, read: Callable[[], _Part]) -> _Part | None:
        try:
            return read()
        except NotStaticError as reason:
            self.unread.append(f"{part}: {reason}")
            return None

    def _attribute(self, name: str) -> Value:
        try:
            return self.interpreter.attribute(self.definition, name)
        except KeyError:
            return None

    def _has_mapper_method(self) -> bool:
        name = self.conventions.mapper_method
        return name is not None and any(
            name in c.bindings.names for c in self.interpreter.order(self.definition)
        )

    def _mapper(self) -> ConfigMapper | None:
        """The rules; None without a mapper."""
        method = self.conventions.mapper_method
        if method is not None and self._has_mapper_method():
            config = Unknown("it depends on the config")
            value = self.interpreter.call(self._attribute(method), [config], {})
        else:
            value = self._attribute(self.conventions.mapper)
        if value is None:
            return None
        if not isinstance(value, Instance):
            raise NotStaticError(f"{self.conventions.mapper} is not a mapper")
        given = {name.removeprefix("orig_to_new_"): rules for name, rules in value.fields.items()}
        if given.get(_WITHOUT_PLACE):
            raise NotStaticError(f"it has {_WITHOUT_PLACE} rules, which a profile cannot hold")
        return ConfigMapper(*[_rules(kind, given.get(kind, {})) for kind in _KINDS])

    def _packed(self) -> dict[str, tuple[str, ...]] | None:
        """Packed module -> its members; None without a table."""
        table = self._attribute(_PACKED)
        if table is None:
            return None
        if not isinstance(table, Mapping):
            raise NotStaticError(f"{_PACKED} is not a dict")
        # SGLang's Solar lists its members with their shards, and compares names with the pairs.
        return {str(name): tuple(str(member) for member in table[name]) for name in table}


def _rules(kind: str, rules: Value) -> tuple[NameRule, ...]:
    if not isinstance(rules, Mapping):
        raise NotStaticError(f"its {kind} rules are not a dict")
    found: list[NameRule] = []
    for old, new in rules.items():
        name = old.text if isinstance(old, Pattern) else old
        if not isinstance(name, str) or not (new is None or isinstance(new, str)):
            raise NotStaticError(f"its {kind} rule {name!r} -> {new!r} is not of texts")
        found.append((name, new))
    return tuple(found)
