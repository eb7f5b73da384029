"""docs/families.md: for which architectures module placement is known, and how."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from packaging.specifiers import SpecifierSet

from ckptfix.runtimes.family_files import builtin_family_files
from ckptfix.runtimes.family_spec import FamilySpec
from ckptfix.runtimes.learned.store import Learned, learned, learned_releases, release
from ckptfix.runtimes.profile_store import known_releases, load_profile
from ckptfix.runtimes.registry import known_runtimes, runtime_named

_HEAD: Final = """\
# Families

Where a runtime's model classes put the modules of a checkpoint, and the name under which each
module is looked up in the quantization config. Made by `tools/generate_docs.py`.

Most of it was learned: `tools/learn_places.py` builds every class that a release registers, on a
CPU and without weights, and records the names it looks up and where its loader puts tensors. An
entry in `src/ckptfix/runtimes/families/`, written by reading the classes, adds what cannot be
learned like that, such as which modules a layer must have, and for which other releases the learned
places hold. `ckptfix runtimes ARCHITECTURE --runtime vllm==0.33.0` lists the learned rows.

- written: it has an entry. `ckptfix check --runtime` answers yes or no.
- learned: it was built with a published config or with the default of its config class, its loader
  fills every parameter, and quantized modules were observed loading. `check` answers yes or no if
  all names, layers and formats of the checkpoint were tried, otherwise unknown. With
  other quantizers than ModelOpt: for the formats in `<runtime>/other_quantizers.toml`.
- unquantized only: the same, but no quantized module was observed loading, or none was tried.
  Answer for a quantized checkpoint: unknown.
- in part: the same, but some parameter was not filled. Answer: unknown.
- likely: it was built with an invented config. Answer: unknown, with the likely answer.
- undetermined: its names depend on more than those in the checkpoint. Answer: unknown.
- not built: its class could not be built. Answer: unknown.
"""
_WRITTEN: Final = """\
# Written entries

Each says what was not learned. Modules go where the learned table puts them, unless an entry says
that they are placed by hand, and why; a test fails where the table has caught up with it.
"""
_ORDER: Final = (
    *("written", "learned", "unquantized only", "in part", "likely", "undetermined", "not built"),
)
_ANSWERED: Final = ("written", "learned")
"""Statuses with which a quantized checkpoint can get the answer yes or no."""


def families_reference() -> str:
    """The page."""
    parts = [_HEAD]
    for runtime in known_runtimes():
        parts += _of_runtime(runtime)
    parts.append(_WRITTEN)
    parts += _written()
    return "\n".join(parts)


def standings(runtime: str, version: str) -> Mapping[str, str]:
    """Architecture that a release registers -> what is known of it."""
    written = {
        (spec.runtime, architecture): word
        for file in builtin_family_files().values()
        for specs, word in ((file.unknown, "undetermined"), (file.families, "written"))
        for spec in specs
        if SpecifierSet(spec.versions).contains(version, prereleases=True)
        for architecture in spec.architectures
    }
    registered = load_profile(runtime, version).architectures
    return {
        name: written.get((runtime, name)) or _standing(learned(runtime, version, name))
        for name in sorted(registered)
    }


def _standing(known: Learned | None) -> str:
    if known is None:
        return "not built"
    if not known.is_certain:
        return "likely"
    if not known.origin.single_pass:
        return "in part"
    is_proved = any(row.proved for row in known.names.rows.values())
    return "learned" if is_proved else "unquantized only"


def answered(runtime: str) -> tuple[int, int]:
    """Architectures of the newest release that can get yes or no when quantized, and all of them.

    README.md has these numbers.
    """
    found = standings(runtime, known_releases(runtime)[-1])
    return sum(word in _ANSWERED for word in found.values()), len(found)


def _of_runtime(runtime: str) -> Iterator[str]:
    version = known_releases(runtime)[-1]
    found = standings(runtime, version)
    counted = Counter(found.values())
    each = ", ".join(f"{counted[word]} {word}" for word in _ORDER if counted[word])
    yield f"# {runtime_named(runtime).title} {version}\n"
    number, every = answered(runtime)
    yield f"{number} of {every} architectures can get a verdict: {each}."
    yield f"Releases that were learned: {_releases(runtime)}.\n"
    yield "| architecture | status | built with | rows | learned in |"
    yield "|---|---|---|---|---|"
    for name, word in found.items():
        yield f"| {name} | {word} | {_built_with(runtime, version, name)} |"
    yield ""


def _releases(runtime: str) -> str:
    return ", ".join(learned_releases(runtime))


def _built_with(runtime: str, version: str, architecture: str) -> str:
    known = learned(runtime, version, architecture)
    if known is None:
        why = release(runtime, learned_releases(runtime)[-1]).failed.get(architecture, "")
        return f"{_cell(why)} | | "
    config = known.origin.config or "an invented config"
    return f"{config} | {len(known.names.every_row)} | {known.version}"


def _cell(text: str) -> str:
    """An error, cut to what a table holds."""
    shown = text.replace("|", "/").replace("<", "(").replace(">", ")").replace("`", "'")
    return shown if len(shown) <= 90 else f"{shown[:90].rstrip()}..."


def _said(family: FamilySpec) -> str:
    by_hand = f"; placed by hand: {family.places.reason}" if family.places else ""
    return f"Not learned: {family.reason}{by_hand}."


def _written() -> Iterator[str]:
    for file in builtin_family_files().values():
        yield f"## {file.description}\n"
        for family in file.families:
            versions = f" {family.versions}" if family.versions else ""
            names = ", ".join(family.architectures)
            yield f"- {family.runtime}{versions}: {names}\n  ({family.source})\n  {_said(family)}"
        for unknown in file.unknown:
            versions = f" {unknown.versions}" if unknown.versions else ""
            names = ", ".join(unknown.architectures)
            status = f"undetermined: {unknown.reason}"
            yield f"- {unknown.runtime}{versions}: {names}, {status}\n  ({unknown.source})"
        yield ""
