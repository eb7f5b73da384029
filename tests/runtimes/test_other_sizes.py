"""Projections of another size than config.json implies: what each loader cuts, fills up or refuses.

Every case was shown to the loaders of vLLM 0.33.0 and SGLang 0.5.23, in copies of a Llama in FP8.
SGLang loads an `o_proj` with too few inputs without a word, as it does a short MLP. But then heads
that the checkpoint stores are multiplied with zeros; an MLP that is short in all of its parts
computes what it did.
"""

from pathlib import Path

import pytest

import ckptfix
from tests.builders import Shapes, safetensors_bytes
from tests.conftest import CopyOf
from truth_loop.case import read_header

NEWEST = ("vllm==0.33.0", "sglang==0.5.23")
STOPS, WRONG, YES = "stops", "wrong", "yes"
SHORT_MLP = {"gate_proj": (0, 0.5), "up_proj": (0, 0.5), "down_proj": (1, 0.5)}


def stored_shapes(shard: Path) -> Shapes:
    """What a shard file stores, as `safetensors_bytes` takes it."""
    return {n: (e["dtype"], tuple(e["shape"])) for n, e in read_header(shard).items()}


def resize(directory: Path, changes: dict[str, tuple[int, float]]) -> None:
    """Change a dimension of projections of the first layer: name -> its number and a factor."""
    shard = directory / "model.safetensors"
    shapes = stored_shapes(shard)
    for projection, (axis, factor) in changes.items():
        [name] = [n for n in shapes if "layers.0." in n and n.endswith(f".{projection}.weight")]
        dtype, shape = shapes[name]
        new = int(shape[axis] * factor)
        shapes[name] = dtype, (*shape[:axis], new, *shape[axis + 1 :])
    shard.write_bytes(safetensors_bytes(shapes))


def effects(directory: Path) -> tuple[str, ...]:
    found = []
    for verdict in ckptfix.check(directory, runtimes=NEWEST).verdicts:
        effect = verdict.loads.effect
        found.append({None: YES, "stops while loading": STOPS}.get(effect, WRONG))
    return tuple(found)


@pytest.mark.parametrize(
    ("changes", "vllm", "sglang"),
    [
        ({"o_proj": (1, 0.5)}, STOPS, WRONG),
        ({"o_proj": (1, 2)}, WRONG, WRONG),
        ({"o_proj": (0, 0.5)}, STOPS, STOPS),
        ({"o_proj": (0, 2)}, STOPS, STOPS),
        ({"q_proj": (0, 2)}, WRONG, WRONG),
        ({"q_proj": (0, 0.5)}, STOPS, STOPS),
        ({"q_proj": (1, 2)}, STOPS, STOPS),
        ({"up_proj": (0, 2)}, WRONG, WRONG),
        ({"down_proj": (1, 2)}, WRONG, WRONG),
        ({"down_proj": (1, 0.5)}, STOPS, WRONG),
        ({"up_proj": (0, 0.5)}, STOPS, WRONG),
        ({"gate_proj": (0, 0.5), "up_proj": (0, 0.5)}, STOPS, WRONG),
        (SHORT_MLP, STOPS, YES),
    ],
)
def test_what_becomes_of_a_projection_of_another_size(
    changes: dict[str, tuple[int, float]], vllm: str, sglang: str, copy_of: CopyOf
) -> None:
    directory = copy_of("llama-fp8-kv8")
    resize(directory, changes)
    assert effects(directory) == (vllm, sglang)


def test_it_says_which_is_filled_up(copy_of: CopyOf) -> None:
    directory = copy_of("llama-fp8-kv8")
    resize(directory, {"o_proj": (1, 0.5)})
    [verdict] = ckptfix.check(directory, runtimes=NEWEST[1:]).verdicts
    assert str(verdict.loads).endswith(
        "fills it up with zeros: model.layers.0.self_attn.o_proj is 64 x 32, but config.json "
        "implies 64 x 64"
    )


def test_packed_codes_of_which_the_scale_is_missing_are_no_matrix_of_another_size(
    copy_of: CopyOf,
) -> None:
    directory = copy_of("llama-nvfp4-awq")
    shard = directory / "model.safetensors"
    shapes = stored_shapes(shard)
    del shapes["model.layers.0.mlp.down_proj.weight_scale"]
    shard.write_bytes(safetensors_bytes(shapes))
    result = ckptfix.check(directory, runtimes=NEWEST)
    assert result.loads == "no"
    assert "implies" not in " ".join(finding.message for finding in result.findings)
