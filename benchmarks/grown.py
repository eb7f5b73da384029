"""`check` on exports of other quantizers, grown to the size of a released model with experts.

    python benchmarks/grown.py EXPORT... [--layers 48] [--experts 128] [--rounds 3]

EXPORT is a small checkpoint, as a quantizer wrote it. Its last layer and its last expert are
repeated, its metadata is not: names that mean one layer leave the new ones out, so that a copy is
broken as one whose excludes were written by hand is. Whole processes, all in turn, ROUNDS times
after one round that fills the page cache; the table holds medians of CPU seconds, and ratios to a
parser of the same headers.
"""

import argparse
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from generate import Row, write_shard
from large import CKPTFIX, HERE, Ran, run_once, summary

LAYER = re.compile(r"((?:.*\.)?layers\.)(\d+)(\..*)")
EXPERT = re.compile(r"(.*\.experts\.)(\d+)(\..*)")
ROUTER = re.compile(r".*\.mlp\.gate\.\w+")
COMMANDS = {
    "check": (*CKPTFIX, "check", "{}"),
    "check, vllm 0.33.0": (*CKPTFIX, "check", "{}", "--runtime", "vllm==0.33.0"),
    "rewrite --dry-run": (*CKPTFIX, "rewrite", "{}", "--dry-run"),
}
PARSER = (sys.executable, str(HERE / "parse_headers.py"), "{}")


def rows(export: Path) -> Iterator[Row]:
    """The tensors of every shard file."""
    for path in sorted(export.glob("*.safetensors")):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        header.pop("__metadata__", None)
        yield from ((name, at["dtype"], tuple(at["shape"])) for name, at in header.items())


def repeated(names: list[str], numbered: re.Pattern[str], size: int) -> Iterator[tuple[str, str]]:
    """(name as it is, new name), for as many as there are to be of what is numbered."""
    found = {name: found for name in names if (found := numbered.fullmatch(name))}
    last = max((int(match[2]) for match in found.values()), default=0)
    for name in names:
        if name in found and int(found[name][2]) == last:
            head, _, tail = found[name].groups()
            yield from ((name, f"{head}{number}{tail}") for number in range(last, size))
        else:
            yield name, name


def grown(export: Path, directory: Path, layers: int, experts: int) -> int:
    """Write the larger copy; the number of its tensors."""
    held = {name: (dtype, shape) for name, dtype, shape in rows(export)}
    config = json.loads((export / "config.json").read_text())
    text = config.get("text_config", config)
    model = [name for name in held if not _is_draft(name, text["num_hidden_layers"])]
    deep = {new: old for old, new in repeated(model, LAYER, layers)}
    wide = {new: deep[old] for old, new in repeated(list(deep), EXPERT, experts)}
    first = {name: held[old] for name, old in wide.items()}
    new = [(name, dtype, _routed(name, shape, experts)) for name, (dtype, shape) in first.items()]
    directory.mkdir(parents=True)
    for file in export.glob("*.json"):
        shutil.copy(file, directory)
    for key in ("num_experts", "n_routed_experts", "num_local_experts"):
        if key in text:
            text[key] = experts
    text["num_hidden_layers"] = layers
    (directory / "config.json").write_text(json.dumps(config, indent=2))
    (directory / "model.safetensors.index.json").unlink(missing_ok=True)
    write_shard(directory / "model.safetensors", new)
    return len(new)


def _is_draft(name: str, layers: int) -> bool:
    found = LAYER.fullmatch(name)
    return found is not None and int(found[2]) >= layers


def _routed(name: str, shape: tuple[int, ...], experts: int) -> tuple[int, ...]:
    """A router has a row for each expert."""
    return (experts, *shape[1:]) if ROUTER.fullmatch(name) else shape


def measured(directory: Path, rounds: int) -> Iterator[tuple[str, Ran]]:
    """(command, medians), the parser first."""
    commands = {"parser": PARSER, **COMMANDS}
    ran: dict[str, list[Ran]] = {name: [] for name in commands}
    for _ in range(rounds + 1):
        for name, command in commands.items():
            ran[name].append(run_once(command, directory))
    yield from ((name, summary(runs[1:])) for name, runs in ran.items())


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Measure check on grown exports.")
    parser.add_argument("exports", nargs="+", type=Path)
    parser.add_argument("--layers", type=int, default=48)
    parser.add_argument("--experts", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print("| export | tensors | command | CPU s | of the parser |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        for export in arguments.exports:
            directory = Path(scratch) / export.name
            number = grown(export, directory, arguments.layers, arguments.experts)
            (_, base), *found = measured(directory, arguments.rounds)
            for name, ran in found:
                row = f"{export.name} | {number:,} | {name} | {ran.cpu:.2f}"
                print(f"| {row} | {ran.cpu / base.cpu:.2f} |", flush=True)


if __name__ == "__main__":
    main()
