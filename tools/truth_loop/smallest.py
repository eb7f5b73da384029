"""The least of what was done to a checkpoint on which a runtime and `check` still disagree."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from truth_loop.case import CONFIG, HF_QUANT, Case, TensorEdit

ROUNDS: Final = 4
"""Batches that a runtime judges for one disagreement; every one imports the runtime again."""


class _Gone:
    """A key that was removed."""


@dataclass(frozen=True)
class _Value:
    """A value of a JSON file that was changed."""

    file: str
    path: tuple[str, ...]
    value: Any


_Part = _Value | tuple[str, TensorEdit | None] | tuple[str, str]
Disagree = Callable[[Sequence[Case]], Sequence[bool]]
"""Whether each case still has the same wrong answer."""


def smallest(case: Case, disagree: Disagree, *, fixtures: Path) -> Case:
    """Leave out, half by half, what the disagreement does not need.

    Args:
        case: a disagreement.
        disagree: asked about all candidates of a round at once.
        fixtures: the folder of the checkpoints that cases are made of.
    """
    parts = list(_parts(case, fixtures))
    pieces = 2
    for _ in range(ROUNDS):
        if len(parts) < 2:
            break
        size = -(-len(parts) // pieces)
        kept = [parts[:at] + parts[at + size :] for at in range(0, len(parts), size)]
        tried = [
            _built(case, some, fixtures / case.origin, f"{case.id}-{n}")
            for n, some in enumerate(kept)
        ]
        still = [some for some, holds in zip(kept, disagree(tried), strict=True) if holds]
        if still:
            parts = min(still, key=len)
            pieces = 2
        elif size == 1:
            break
        else:
            pieces = min(2 * pieces, len(parts))
    return _built(case, parts, fixtures / case.origin, case.id)


def changes(case: Case, fixtures: Path) -> dict[str, Any]:
    """What was done, as JSON: place -> what is there now; null where it is gone."""
    found: dict[str, Any] = {}
    for part in _parts(case, fixtures):
        if isinstance(part, _Value):
            place = f"{part.file} /{'/'.join(part.path)}"
            found[place] = None if isinstance(part.value, _Gone) else part.value
        else:
            found[part[0]] = part[1]
    return found


def _parts(case: Case, fixtures: Path) -> Iterator[_Part]:
    for file, text in ((CONFIG, case.config), (HF_QUANT, case.hf_quant)):
        path = fixtures / case.origin / file
        before = json.loads(path.read_text()) if path.exists() else _Gone()
        after = json.loads(text) if text is not None else _Gone()
        yield from _changes(file, (), before, after)
    yield from case.tensors.items()
    yield from case.files.items()


def _changes(file: str, path: tuple[str, ...], before: object, after: object) -> Iterator[_Part]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys((*before, *after)):
            old, new = before.get(key, _Gone()), after.get(key, _Gone())
            yield from _changes(file, (*path, key), old, new)
    elif before != after and not (isinstance(before, _Gone) and isinstance(after, _Gone)):
        yield _Value(file, path, after)


def _built(case: Case, parts: Sequence[_Part], fixture: Path, id_: str) -> Case:
    """The fixture with these parts of what was done to it."""
    texts: dict[str, str | None] = {}
    for file in (CONFIG, HF_QUANT):
        path = fixture / file
        value = json.loads(path.read_text()) if path.exists() else _Gone()
        for part in parts:
            if isinstance(part, _Value) and part.file == file:
                value = _with(value, part.path, part.value)
        texts[file] = None if isinstance(value, _Gone) else json.dumps(value, indent=2)
    others: Mapping[str, Any] = dict(part for part in parts if not isinstance(part, _Value))
    return replace(
        case,
        id=id_,
        config=texts[CONFIG],
        hf_quant=texts[HF_QUANT],
        tensors={k: v for k, v in others.items() if k in case.tensors},
        files={k: v for k, v in others.items() if k in case.files},
    )


def _with(value: Any, path: tuple[str, ...], new: object) -> Any:  # noqa: ANN401 - JSON
    if not path:
        return new
    key, *rest = path
    if isinstance(new, _Gone) and not rest:
        return {k: v for k, v in value.items() if k != key}
    return {**value, key: _with(value.get(key, {}), tuple(rest), new)}
