"""Change exports in one value of config.json, show them to the real runtimes, record what they did.

    tools/record_settings.py FOLDER [EACH]

FOLDER holds checkpoints, as those of `architecture_exports.py`, that `check` and a release of
`../shared/oracle` agree to load. Of each, EACH changes (12) are tried: a value that is null,
missing, empty or of another type, some of which `check` calls a stop and some not. Every line of
`tests/data/settings.jsonl.gz` is a checkpoint as in `record_architectures.py`, and `changes`: what
was put where, and whether each release loads it then. FOLDER keeps the answers of the runtimes, so
that a run that was cut off goes on where it stopped.
"""

import gzip
import json
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from place_learner.settings_proof import put
from place_learner.settings_values import VALUES, tells, values_in
from record_architectures import DATA, judged, recorded
from truth_loop.answers import ask
from truth_loop.case import CONFIG
from truth_loop.judges import JUDGES, batch

NAME: Final = "settings"
EACH: Final = 12
_OFTEN: Final = 3
"""Null and missing values, which published configs have too, are drawn as often as all others."""
_DRAWN: Final = 80
_UNREAD: Final = frozenset(
    {"bos_token_id", "eos_token_id", "pad_token_id", "initializer_range", "use_cache", "ep_size"}
    | {"attention_dropout", "hidden_dropout", "resid_pdrop", "embd_pdrop", "attn_pdrop", "seq_aux"}
    | {"router_aux_loss_coef", "aux_loss_alpha", "router_jitter_noise", "pretraining_tp"}
    | {"output_router_logits", "output_attentions", "output_hidden_states", "return_dict"}
    | {"chunk_size_feed_forward", "is_encoder_decoder", "problem_type", "classifier_dropout"}
)
"""Keys that no runtime reads: what is put there says nothing."""


def changes(directory: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(Kind, path, config) of every change of a checkpoint's config.json."""
    config = json.loads((directory / CONFIG).read_text("utf-8"))
    for path, value in values_in(config, ()):
        for kind, new in VALUES.items():
            if (
                path[-1] not in _UNREAD
                and tells(kind, value)
                and (kind == "missing" or new != value)
            ):
                yield kind, ".".join(path), put(config, path, new)


def chosen(
    directory: Path, releases: list[str], work: Path, each: int
) -> Iterator[tuple[str, str, Path]]:
    """Of the changes of a checkpoint as many that `check` calls a stop as it calls harmless."""
    found: dict[bool, dict[Path, tuple[str, str]]] = {True: {}, False: {}}
    all_ = list(changes(directory))
    often = [change for change in all_ if change[0] in ("null", "missing")] * _OFTEN
    random.Random(directory.name).shuffle(drawn := often + all_)
    for kind, path, config in drawn[:_DRAWN]:
        target = work / f"{directory.name}--{kind.replace(' ', '-')}--{path}"
        _write(directory, target, config)
        answers = ask(target)
        said = [answers[release] for release in releases]
        stops = any("stops its class" in " ".join(one.reasons) for one in said)
        is_sure = stops or all(one.answer == "yes" for one in said)
        if is_sure and len(found[stops]) < each // 2:
            found[stops][target] = kind, path
    for of in found.values():
        yield from ((*change, target) for target, change in of.items())


def _write(directory: Path, target: Path, config: dict[str, Any]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for file in directory.iterdir():
        if file.name != CONFIG and not (target / file.name).exists():
            os.link(file, target / file.name)
    (target / CONFIG).write_text(json.dumps(config), "utf-8")


def shown(asked: dict[Path, list[str]], work: Path, name: str) -> dict[Path, dict[str, Any]]:
    """What each release did with the checkpoints that it is asked for."""
    done: dict[Path, dict[str, Any]] = {path: {} for path in asked}
    for judge in JUDGES:
        paths = [path for path, releases in asked.items() if judge.release in releases]
        for raw in map(json.loads, batch(paths, work, name, judge).read_text("utf-8").splitlines()):
            if (path := Path(raw["dir"])) in paths:
                done[path][judge.release] = judged(raw)
    return done


def main() -> None:
    """Choose, show, record."""
    folder, each = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else EACH
    work = folder.with_name(f"{folder.name}-{NAME}")
    work.mkdir(exist_ok=True)
    said = {path: ask(path) for path in sorted(folder.iterdir())}
    hoped = {path: [r for r, a in of.items() if a.answer == "yes"] for path, of in said.items()}
    bases = shown(hoped, work, "whole")
    loading = {path: [r for r, done in of.items() if done["loads"]] for path, of in bases.items()}
    picked = {
        path: list(chosen(path, loading[path], work, each)) for path in hoped if loading[path]
    }
    changed = {at: loading[path] for path, of in picked.items() for *_, at in of}
    done = shown(changed, work, NAME)
    lines = [
        json.dumps(
            {
                **recorded(path),
                "runtimes": {release: bases[path][release] for release in loading[path]},
                "changes": [
                    {
                        "kind": kind,
                        "path": name,
                        "value": None if kind == "missing" else VALUES[kind],
                        "runtimes": done[at],
                    }
                    for kind, name, at in of
                ],
            }
        )
        for path, of in picked.items()
    ]
    (DATA / f"{NAME}.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))
    print(f"{len(lines)} checkpoints, {sum(map(len, picked.values()))} changes")


if __name__ == "__main__":
    main()
