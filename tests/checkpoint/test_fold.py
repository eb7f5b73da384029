"""What is said of a folded checkpoint is what is said of the whole one, word for word."""

import contextlib
import io
import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ckptfix.__main__ import main
from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.operations.check_many import check_each
from ckptfix.operations.check_one import CheckRequest
from ckptfix.operations.loading import load
from ckptfix.report.check_report import CheckReport
from ckptfix.report.console import plain
from ckptfix.report.formats import FORMATS, renderer
from ckptfix.report.layout import fitted
from ckptfix.rules.finding import Severity
from ckptfix.runtimes.releases import requested_targets
from tests.builders import Shapes, bf16, fp8, mixed, nvfp4, safetensors_bytes
from tests.conftest import DATA, FIXTURE_NAMES, FIXTURES, SHARED

EXPERTS = 3
PARTS = ("gate_proj", "up_proj", "down_proj")


def plainly() -> contextlib.AbstractContextManager[object]:
    """No checkpoint is folded."""
    return patch.object(Checkpoint, "folded", property(lambda checkpoint: checkpoint))


def checked(directory: Path, runtimes: tuple[str, ...]) -> str:
    """Everything that `check` says in every format, of like findings and of each."""
    said: list[str] = []
    for verbose in (True, False):
        request = CheckRequest(targets=requested_targets(runtimes), every=verbose, page=True)
        found = tuple(check_each([str(directory)], request))
        report = CheckReport(found, Severity.WARNING, Path("/"))
        for name in FORMATS:
            said += (plain(shown) for shown in fitted(renderer(name)(report, verbose), None))
    return "\n".join(said)


def planned(directory: Path) -> tuple[object, str]:
    """What `rewrite --dry-run` says."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        argv = ["ckptfix", "rewrite", str(directory), "--dry-run"]
        with patch("sys.argv", argv), pytest.raises(SystemExit) as done:
            main()
    return done.value.code, out.getvalue()


@pytest.mark.parametrize("name", FIXTURE_NAMES)
def test_fixtures_are_reported_the_same_folded_and_plain(name: str) -> None:
    directory = FIXTURES / name
    with contextlib.redirect_stderr(io.StringIO()):
        folded = checked(directory, ("vllm", "sglang"))
        with plainly():
            assert checked(directory, ("vllm", "sglang")) == folded


QUANTIZERS = SHARED / "quantizers/fixtures"
WITH_EXPERTS = (
    *("ct-qwen3moe-mixed", "bnb-qwen3moe-nf4", "ar-qwen3moe-gptqfmt", "ar-deepseekv3-w4a16"),
    *("ct-deepseekv3-fp8-block", "fp8-deepseekv3-block", "gq-qwen3moe", "ct-qwen3moe-w4a16"),
)
"""Exports of other quantizers, two of them in this repository."""


def without_names(config: dict[str, Any]) -> None:
    """Nothing is left out, so that routers are wrong."""
    for key in ("ignore", "exclude", "llm_int8_skip_modules"):
        config["quantization_config"].pop(key, None)


def with_other_sizes(config: dict[str, Any]) -> None:
    config["moe_intermediate_size"] *= 2


def of_another_format(config: dict[str, Any]) -> None:
    config["quantization_config"] |= {"quant_method": "awq", "bits": 4, "group_size": 32}


@pytest.mark.parametrize("change", [without_names, with_other_sizes, of_another_format])
@pytest.mark.parametrize("name", WITH_EXPERTS)
def test_other_quantizers_are_reported_the_same_folded_and_plain(
    name: str, change: Callable[[dict[str, Any]], None], tmp_path: Path
) -> None:
    directory, own = tmp_path / name, DATA / "quantizers" / name
    if not (own.is_dir() or QUANTIZERS.is_dir()):
        pytest.skip("needs ../shared")
    shutil.copytree(own if own.is_dir() else QUANTIZERS / name, directory)
    path = directory / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))
    assert load(str(directory)).folded.fold is not None
    with contextlib.redirect_stderr(io.StringIO()):
        folded = checked(directory, ("vllm", "sglang")), planned(directory)
        with plainly():
            assert (checked(directory, ("vllm", "sglang")), planned(directory)) == folded


def bank(layer: int, prefix: str) -> str:
    return f"{prefix}model.layers.{layer}.mlp.experts"


def healthy(prefix: str) -> tuple[Shapes, dict[str, str]]:
    """Two layers of NVFP4 experts behind FP8 attention."""
    tensors: Shapes = {**bf16("lm_head", 64, 32), **bf16("model.norm", 32)}
    entries: dict[str, str] = {}
    for layer in range(2):
        attention = f"{prefix}model.layers.{layer}.self_attn.o_proj"
        tensors |= fp8(attention)
        entries[attention] = "FP8"
        for expert in range(EXPERTS):
            for part in PARTS:
                name = f"{bank(layer, prefix)}.{expert}.{part}"
                tensors |= nvfp4(name)
                entries[name] = "NVFP4"
    return tensors, entries


Draft = dict[str, Any]
"""tensors, and for each file its entries and patterns."""


def drop_a_tensor(draft: Draft, choose: random.Random) -> None:
    del draft["tensors"][choose.choice(list(draft["tensors"]))]


def change_a_shape(draft: Draft, choose: random.Random) -> None:
    name = choose.choice(list(draft["tensors"]))
    dtype, shape = draft["tensors"][name]
    draft["tensors"][name] = (dtype, tuple(2 * n for n in shape))


def drop_an_entry(draft: Draft, choose: random.Random) -> None:
    entries = choose.choice(draft["entries"])
    del entries[choose.choice(list(entries))]


def change_an_entry(draft: Draft, choose: random.Random) -> None:
    entries = choose.choice(draft["entries"])
    entries[choose.choice(list(entries))] = choose.choice(("FP8", "W4A16_NVFP4"))


def rename_an_entry(draft: Draft, choose: random.Random) -> None:
    entries = choose.choice(draft["entries"])
    old = choose.choice(list(entries))
    entries[old.replace("experts.1", "experts.7").replace("model.", "backbone.")] = entries.pop(old)


def name_fewer_experts(draft: Draft, _: random.Random) -> None:
    for entries in draft["entries"]:
        for name in [name for name in entries if f"experts.{EXPERTS - 1}." in name]:
            del entries[name]


def add_a_pattern(draft: Draft, choose: random.Random) -> None:
    patterns = ("lm_head", "*.experts.1.*", "*1.up_proj", "model.layers.1*", "model.layers.0.mlp")
    more = ("model.layers.0.mlp.experts.2.up_proj", "*up_proj*", "re:.*experts.1.*", "s.1", "[0-1]")
    choose.choice(draft["patterns"]).append(choose.choice(patterns + more))


def name_experts_in_a_list(draft: Draft, choose: random.Random) -> None:
    names = [name for name in draft["entries"][0] if "layers.1.mlp.experts" in name]
    for entries in draft["entries"]:
        for name in names:
            entries.pop(name, None)
    for patterns in draft["patterns"]:
        patterns.extend(names[: choose.choice((1, len(names)))])


def shuffle_tensors(draft: Draft, choose: random.Random) -> None:
    names = list(draft["tensors"])
    choose.shuffle(names)
    draft["tensors"] = {name: draft["tensors"][name] for name in names}


def sort_tensors(draft: Draft, _: random.Random) -> None:
    """As safetensors saves them: by dtype, then by name."""
    rows = sorted(draft["tensors"].items(), key=lambda row: (row[1][0], row[0]))
    draft["tensors"] = dict(rows)


def name_targets(draft: Draft, choose: random.Random) -> None:
    """A list of all names by scheme, as ModelOpt 0.47 writes it too."""
    names = list(draft["entries"][0])
    draft["targets"] = sorted(names) if choose.random() < 0.5 else names


def add_an_expert(draft: Draft, choose: random.Random) -> None:
    name = f"{bank(choose.randrange(2), '')}.{EXPERTS}.up_proj"
    draft["tensors"] |= nvfp4(name)


def declare_sizes(draft: Draft, choose: random.Random) -> None:
    """Some that experts may not have."""
    draft["sizes"] = {
        "hidden_size": choose.choice((32, 64)),
        "intermediate_size": choose.choice((32, 96)),
        "moe_intermediate_size": choose.choice((32, 96)),
    }


CHANGES: tuple[Callable[[Draft, random.Random], None], ...] = (
    drop_a_tensor,
    change_a_shape,
    drop_an_entry,
    change_an_entry,
    rename_an_entry,
    name_fewer_experts,
    add_a_pattern,
    name_experts_in_a_list,
    shuffle_tensors,
    sort_tensors,
    name_targets,
    add_an_expert,
    declare_sizes,
)


NANO = "NemotronH_Nano_VL_V2"
"""Old releases look names up that its metadata do not have."""


def as_nano(text: str) -> str:
    named = text.replace("model.layers", "language_model.backbone.layers")
    return named.replace(".mlp", ".mixer").replace("self_attn", "mixer")


def write(directory: Path, draft: Draft, architecture: str, files: int) -> None:
    """Both metadata files, and the tensors in some shard files with an index."""
    names = list(draft["tensors"])
    each = -(-len(names) // files)
    weight_map: dict[str, str] = {}
    for number in range(files):
        part = names[number * each : (number + 1) * each]
        file = f"model-{number + 1:05}-of-{files:05}.safetensors"
        stored = {name: draft["tensors"][name] for name in part}
        if architecture == NANO:
            stored = {as_nano(name): tensor for name, tensor in stored.items()}
        data = safetensors_bytes(stored)
        (directory / file).write_bytes(data)
        weight_map |= dict.fromkeys(stored, file)
    first, second = (
        mixed(entries, **{key: patterns})
        for entries, patterns, key in zip(
            draft["entries"], draft["patterns"], ("ignore", "exclude_modules"), strict=True
        )
    )
    if draft["targets"]:
        first["config_groups"] = {"group_0": {"targets": draft["targets"]}}
    config = {
        "architectures": [architecture],
        "num_hidden_layers": 2,
        **draft["sizes"],
        "quantization_config": {**first, "quant_method": "modelopt"},
    }
    if architecture == NANO:
        config, second = json.loads(as_nano(json.dumps([config, second])))
        config["llm_config"] = {"model_type": "nemotron_h", **draft["sizes"]}
    for file, value in (
        ("model.safetensors.index.json", {"weight_map": weight_map}),
        ("config.json", config),
        ("hf_quant_config.json", {"quantization": second}),
    ):
        (directory / file).write_text(json.dumps(value, indent=2), encoding="utf-8")


@contextlib.contextmanager
def made(seed: int, changes: int, architecture: str, prefix: str) -> Iterator[Path]:
    choose = random.Random(seed)
    tensors, entries = healthy(prefix)
    draft: Draft = {
        "tensors": tensors,
        "entries": (dict(entries), dict(entries)),
        "patterns": (["lm_head"], ["lm_head"]),
        "targets": [],
        "sizes": {},
    }
    for _ in range(changes):
        choose.choice(CHANGES)(draft, choose)
    with TemporaryDirectory() as directory:
        write(Path(directory), draft, architecture, choose.choice((1, 4)))
        yield Path(directory)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(min_value=0, max_value=2**32),
    st.integers(min_value=0, max_value=3),
    st.sampled_from(("Qwen3MoeForCausalLM", "Qwen2MoeForCausalLM", "UnknownForCausalLM", NANO)),
    st.sampled_from(("", "language_")),
)
def test_random_checkpoints_are_reported_the_same_folded_and_plain(
    seed: int, changes: int, architecture: str, prefix: str
) -> None:
    known = ("vllm==0.33.0", "sglang==0.5.23", "vllm==0.17.1")
    runtimes = () if architecture == "UnknownForCausalLM" else known
    with made(seed, changes, architecture, prefix) as directory:
        with contextlib.redirect_stderr(io.StringIO()):
            folded = checked(directory, runtimes), planned(directory)
        with plainly(), contextlib.redirect_stderr(io.StringIO()):
            assert (checked(directory, runtimes), planned(directory)) == folded


def test_identical_experts_are_folded_into_the_first() -> None:
    with made(0, 0, "Qwen3MoeForCausalLM", "") as directory:
        whole = load(str(directory))
        folded = whole.folded
    assert {name for name in whole.table.tensors if ".experts.0." in name} == {
        name for name in folded.table.tensors if ".experts." in name
    }
    assert len(folded.metadata[0].of_kind("entry")) == 2 + 2 * len(PARTS)
    assert folded.table.nbytes == whole.table.nbytes
