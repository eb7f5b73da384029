"""Exports without a head, by what config.json has for `tie_word_embeddings`.

`tests/data/tied_heads.json`: export -> release -> a letter for each config.json that was loaded:
m where the release leaves the head unfilled, t where it does not, - where it was not run. Three
letters are for the key missing, true and false; with a language model's config within, there are
three for each of these in turn, by the value within in the same order.
"""

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, Final

import pytest

from tests.cases.exports import exports
from tests.cases.packed import write
from tests.conftest import DATA
from tests.replay import RELEASES, ask
from truth_loop.case import header_text

KEY: Final = "tie_word_embeddings"
VALUES: Final = (None, True, False)
JUDGED: dict[str, dict[str, str]] = json.loads((DATA / "tied_heads.json").read_text("utf-8"))
EXPORTS = exports("architectures")


def _line(slug: str) -> dict[str, Any]:
    if slug in EXPORTS:
        return EXPORTS[slug]
    folder = DATA / slug
    files = {
        name: (folder / name).read_text("utf-8") for name in ("config.json", "hf_quant_config.json")
    }
    shards = {path.name: header_text(path) for path in sorted(folder.glob("*.safetensors"))}
    return {"slug": slug, "files": files, "shards": shards}


def _without_head(line: dict[str, Any]) -> dict[str, tuple[str, int]]:
    shards = {}
    for file, (text, _) in line["shards"].items():
        header, at = json.loads(text), 0
        kept = {name: entry for name, entry in header.items() if "lm_head" not in name.split(".")}
        for name, entry in kept.items():
            if name != "__metadata__":
                start, end = entry["data_offsets"]
                entry["data_offsets"] = [at, at := at + end - start]
        shards[file] = json.dumps(kept), at
    return shards


def _configs(config: dict[str, Any], number: int) -> Iterator[dict[str, Any]]:
    """config.json with every value, in the order of the letters."""
    part = next((key for key in ("text_config", "llm_config") if number > len(VALUES)), "")
    part = "llm_config" if part and "llm_config" in config else part
    plain = {key: value for key, value in config.items() if key != KEY}
    for own, within in product(VALUES, VALUES if part else (None,)):
        given: dict[str, Any] = {} if own is None else {KEY: own}
        if part:
            inner = {key: value for key, value in config[part].items() if key != KEY}
            given[part] = inner if within is None else {**inner, KEY: within}
        yield {**plain, **given}


@pytest.mark.parametrize("slug", sorted(JUDGED))
def test_a_head_that_a_release_leaves_unfilled_is_never_a_yes(slug: str, tmp_path: Path) -> None:
    line, rows = _line(slug), JUDGED[slug]
    shards = _without_head(line)
    number = len(next(iter(rows.values())))
    configs = _configs(json.loads(line["files"]["config.json"]), number)
    wrong = []
    for at, config in enumerate(configs):
        files = {**line["files"], "config.json": json.dumps(config)}
        path = write({**line, "files": files, "shards": shards}, tmp_path / str(at))
        for release, got in ask(path, tuple(rows)).items():
            blamed = any("head is not stored" in reason for reason in got.reasons)
            if (got.answer == "yes" and rows[release][at] == "m") or (
                blamed and rows[release][at] == "t"
            ):
                wrong.append((release, at, got.answer, got.reasons))
    assert not wrong


SEEN = [
    ("MistralForCausalLM-nvfp4", 0, True),
    ("Qwen3VLForConditionalGeneration-mixed", 0, True),
    ("Qwen3VLForConditionalGeneration-mixed", 1, False),
    ("Qwen3VLForConditionalGeneration-mixed", 6, False),
]
"""(Export, which config.json, whether the reason is the default of the config class)."""


@pytest.mark.parametrize(("slug", "at", "by_default"), SEEN)
def test_the_reason_says_whether_config_json_or_its_class_decides(
    slug: str, at: int, tmp_path: Path, *, by_default: bool
) -> None:
    line = _line(slug)
    number = len(JUDGED[slug][RELEASES[0]])
    config = list(_configs(json.loads(line["files"]["config.json"]), number))[at]
    files = {**line["files"], "config.json": json.dumps(config)}
    changed = {**line, "files": files, "shards": _without_head(line)}
    [got] = ask(write(changed, tmp_path / "m"), RELEASES[:1]).values()
    reasons = " ".join(got.reasons)
    assert got.answer == "no"
    assert "the head is not stored" in reasons
    assert ("tie_word_embeddings is false by default" in reasons) is by_default
