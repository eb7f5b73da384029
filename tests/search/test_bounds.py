"""What a check costs grows with what there is, not with patterns times modules.

No clock: comparisons, expressions and bytes are counted.
"""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from ckptfix.operations.examine import examine
from ckptfix.runtimes.common.patterns import Pattern, PatternTable
from ckptfix.runtimes.name_maps import builtin_name_map
from ckptfix.runtimes.naming import Naming
from ckptfix.search.effort import limited_effort, spent
from ckptfix.untrusted_regex import _meter, limited_regexes
from tests.builders import bf16, fp8, mixed, write_checkpoint
from tests.conftest import Call, load

LAYERS, PATTERNS = 40, 1_000
PARTS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.up_proj")
MODULES = LAYERS * len(PARTS)


def dense() -> dict[str, tuple[str, tuple[int, ...]]]:
    names = [f"model.layers.{layer}.{part}" for layer in range(LAYERS) for part in PARTS]
    return {**{k: v for name in names for k, v in fp8(name).items()}, **bf16("lm_head")}


@pytest.mark.parametrize(
    "pattern",
    [
        lambda n: f"model.layers.{n % LAYERS}.x{n}*",
        lambda n: f"*x{n}_proj*",
        lambda n: f"*.{n}.*x{n}",
        lambda n: f"model.*.{n % LAYERS}.*q_proj{n}",
        lambda n: f"*.[a-z]x{1_000 + n}?_proj",
        lambda n: f"re:.*x{n}_proj$",
        lambda n: f"layers.{n}.self_attn.qx",
        lambda n: f"mlp.experts.{n}.up_proj",
    ],
    ids=["prefix", "inside", "number", "middle", "classes", "regex", "plain", "experts"],
)
def test_patterns_that_match_nothing_are_hardly_tried(
    pattern: Callable[[int], str], tmp_path: Path
) -> None:
    ignore = ["lm_head", *map(pattern, range(PATTERNS))]
    quantization = {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ignore}
    checkpoint = load(write_checkpoint(tmp_path / "c", dense(), quantization))
    with limited_effort(), limited_regexes():
        examined = examine(checkpoint, None, ())
        comparisons, expressions = spent(), _meter.matches
    assert len(examined.findings) >= PATTERNS
    assert len(examined.verdicts) > 10
    assert comparisons < 10 * (PATTERNS + MODULES)  # 160,000 would be each on each, once
    assert expressions < PATTERNS


def test_patterns_that_match_everything_are_tried_on_names_without_their_numbers(
    tmp_path: Path,
) -> None:
    common = "model.layers.proj"
    chosen = ([c for at, c in enumerate(common) if n >> at & 1] for n in range(1, PATTERNS))
    ignore = [f"*{'*'.join(letters)}*" for letters in chosen]
    quantization = {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ignore}
    checkpoint = load(write_checkpoint(tmp_path / "c", dense(), quantization))
    with limited_effort():
        naming = Naming(checkpoint, builtin_name_map(checkpoint))
        covered = {naming.read_pattern(pattern).modules for pattern in ignore}
        comparisons = spent()
    assert {len(modules) for modules in covered} == {MODULES, MODULES + 1}
    assert comparisons < 50 * PATTERNS  # each on each would be 160,000, times what a match costs


def test_what_an_index_cannot_avoid_ends_at_a_bound(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ckptfix.search.effort.MOST_COMPARISONS", 100_000)
    monkeypatch.setattr("ckptfix.operations.limits.MOST_COMPARISONS", 100_000)
    hit_all = [f"*{'*'.join(f'{n:b}')}*".replace("0", "o").replace("1", "r") for n in range(2, 999)]
    ignore = [pattern + "?" for pattern in hit_all]
    quantization = {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ignore}
    done = call("check", write_checkpoint(tmp_path / "c", dense(), quantization))
    assert done.returncode == 2
    assert "matching names against patterns takes more than 100,000" in done.stderr


def test_a_name_of_thousands_of_parts_takes_memory_for_itself_only(
    tmp_path: Path, call: Call
) -> None:
    deep = [f"a{number}" + ".b" * 4_000 for number in range(16)]
    entries = mixed(dict.fromkeys(deep, "FP8"), quant_method="modelopt", ignore=deep)
    groups = {"group_0": {"targets": deep, "weights": {"num_bits": 8}}}
    made = write_checkpoint(tmp_path / "c", dense(), {**entries, "config_groups": groups})
    call("check", made)  # loads what every check loads
    tracemalloc.start()
    done = call("check", made)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "CKF105" in done.stdout
    assert peak < 20_000_000  # 16 names with all their ancestors would be 500 MB


def test_a_module_of_hundreds_of_parts_is_looked_up_without_all_its_runs_of_parts() -> None:
    table = PatternTable(tuple(Pattern(t, t) for t in ["b" + ".a" * n for n in range(400)]))
    name = "model" + ".a" * 490
    table.in_whole_parts("model", ignore_last_dots=True)  # makes the index
    tracemalloc.start()
    assert table.in_whole_parts(name, ignore_last_dots=True) is None
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000  # 120,000 runs would be 60 MB
