"""Which tensors are renamed, and why a rename is refused. Pure."""

from collections.abc import Mapping
from functools import cached_property

from msgspec import Struct
from msgspec.structs import replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.shard_index import INDEX_FILE
from ckptfix.checkpoint.tensor_table import TensorTable
from ckptfix.place import Place
from ckptfix.rewriting.proof import Refusal
from ckptfix.runtimes.name_maps import NameMap
from ckptfix.text import visible


class TensorRenames(Struct, frozen=True, dict=True):
    """Old tensor name -> new tensor name, for those that change."""

    name_map: NameMap
    before: Checkpoint
    after: Checkpoint
    """The same metadata over the renamed tensors."""
    new_names: Mapping[str, str]
    refusals: tuple[Refusal, ...] = ()

    @cached_property
    def by_file(self) -> Mapping[str, Mapping[str, str]]:
        """Shard file -> what is renamed in its header."""
        files: dict[str, dict[str, str]] = {}
        for old, new in self.new_names.items():
            files.setdefault(self.before.table.file_of[old], {})[old] = new
        return dict(sorted(files.items()))

    @cached_property
    def modules(self) -> Mapping[str, frozenset[str]]:
        """Module -> the modules that its tensors belong to afterwards, for those that change."""
        module_of = {
            tensor: name
            for name, module in self.after.modules.items()
            for tensor in module.tensor_names.values()
        }
        moved = {
            name: frozenset(
                module_of[self.new_names.get(tensor, tensor)]
                for tensor in module.tensor_names.values()
            )
            for name, module in self.before.modules.items()
        }
        return {name: after for name, after in moved.items() if after != {name}}

    def new_name(self, name: str) -> str:
        """The name of a module or tensor after the rename; the same name if it is not renamed."""
        after = self.modules.get(name, frozenset())
        return next(iter(after)) if len(after) == 1 else self.new_names.get(name, name)


def rename_tensors(checkpoint: Checkpoint, name_map: NameMap) -> TensorRenames:
    """Map every tensor's name.

    A rename is refused where two tensors would get the same name, where a rule drops a tensor,
    where a name cannot be written, and where the index disagrees with the headers about a tensor
    that would be renamed.

    Raises:
        CkptfixError: applying the map a second time would change a name again.
    """
    table = checkpoint.table
    mapped = {name: name_map.mapper.map(name) for name in table.tensors}
    changed = {name: new for name, new in mapped.items() if new != name}
    name_map.require_stable(changed, of="tensor ")
    refusals = _refusals(table, changed)
    new_names = {name: new for name, new in changed.items() if new is not None}
    if refusals:
        return TensorRenames(name_map, checkpoint, checkpoint, {}, refusals)
    after = replace(checkpoint, table=_renamed(table, new_names)) if new_names else checkpoint
    return TensorRenames(name_map, checkpoint, after, new_names)


def _refusals(table: TensorTable, changed: Mapping[str, str | None]) -> tuple[Refusal, ...]:
    owner = {name: name for name in table.tensors if name not in changed}
    contradicted = {name for name, _ in (*table.missing, *table.unindexed)}
    refusals = []

    def refuse(name: str, reason: str, file: str) -> None:
        refusals.append(Refusal(name, reason, Place(file, tensor=visible(name))))

    for name, new in changed.items():
        file = table.file_of[name]
        if new is None:
            refuse(name, "would be dropped; tensors can be renamed but never dropped", file)
        elif not new or new == "__metadata__" or not _is_text(new):
            refuse(name, f"would become {visible(new)!r}, which is not a valid tensor name", file)
        elif (other := owner.setdefault(new, name)) != name:
            refuse(
                name,
                f"would become {visible(new)}, which would also be the new name of "
                f"{visible(other)}",
                file,
            )
        elif name in contradicted:
            refuse(name, f"{INDEX_FILE} and the headers disagree about its file", file)
    for name, file in table.missing:
        if name in owner and owner[name] != name:
            refuse(
                owner[name], f"would become {visible(name)}, which {INDEX_FILE} already names", file
            )
    return tuple(refusals)


def _is_text(name: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _renamed(table: TensorTable, new_names: Mapping[str, str]) -> TensorTable:
    headers = {
        file: {new_names.get(name, name): tensor for name, tensor in header.items()}
        for file, header in table.headers.items()
    }
    return replace(table, headers=headers)
