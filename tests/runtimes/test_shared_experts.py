"""SGLang puts a shared expert into the bank of the routed ones, also if it is stored otherwise.

The server then needs an option, which every answer has. The checkpoint is an export of GLM-4 MoE in
NVFP4, of which the shared experts become BF16 here, as in NVIDIA's GLM-5.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from ckptfix.operations.check import check
from ckptfix.operations.checked import ReleaseAnswer
from ckptfix.runtimes.loads import Answer
from tests.builders import Shapes, write_checkpoint
from tests.cases.exports import exports
from tests.conftest import Call

EXPORT = exports("architectures")["Glm4MoeForCausalLM-nvfp4"]
OPTION = "--disable-shared-experts-fusion"
SHARED = ".mlp.shared_experts."


def glm(directory: Path, *, excluded: bool) -> Path:
    config = json.loads(EXPORT["files"]["config.json"])
    metadata = config.pop("quantization_config")
    metadata.pop("kv_cache_scheme", None)
    config["head_dim"] = config["hidden_size"] // config["num_attention_heads"]
    if excluded:
        metadata["ignore"] = [*metadata["ignore"], "*shared_experts*"]
    tensors: Shapes = {}
    for header, _ in EXPORT["shards"].values():
        for name, about in json.loads(header).items():
            if name != "__metadata__" and not name.endswith((".k_scale", ".v_scale")):
                tensors |= _stored(name, about, plain=excluded and SHARED in name)
    architecture = config.pop("architectures")[0]
    return write_checkpoint(
        directory, tensors, metadata, architecture=architecture, extra_config=config
    )


def _stored(name: str, about: dict[str, Any], *, plain: bool) -> Shapes:
    if not plain:
        return {name: (about["dtype"], tuple(about["shape"]))}
    rows, *columns = about["shape"] or [1]
    return {name: ("BF16", (rows, 2 * columns[0]))} if name.endswith(".weight") else {}


def answer(directory: Path, release: str) -> ReleaseAnswer:
    return check(directory, runtimes=[release]).runtimes[0]


@pytest.mark.parametrize("release", ["sglang==0.5.14", "sglang==0.5.20", "sglang==0.5.23"])
def test_a_shared_expert_that_is_not_stored_like_the_routed_ones_needs_an_option(
    release: str, tmp_path: Path
) -> None:
    found = answer(glm(tmp_path / "m", excluded=True), release).answer
    assert (found.answer, found.options) == (Answer.YES, (OPTION,)), found
    assert str(found) == f"yes, with {OPTION}"


@pytest.mark.parametrize(
    ("release", "excluded"), [("sglang==0.5.23", False), ("vllm==0.33.0", True)]
)
def test_no_other_needs_one(release: str, excluded: bool, tmp_path: Path) -> None:
    found = answer(glm(tmp_path / "m", excluded=excluded), release).answer
    assert (found.answer, found.options) == (Answer.YES, ()), found


def test_the_command_that_serves_it_has_the_option(tmp_path: Path, call: Call) -> None:
    folder = str(glm(tmp_path / "m", excluded=True))
    shown = call("check", folder, "--runtime", "sglang==0.5.23").stdout
    assert f"--model-path {folder} {OPTION}" in " ".join(shown.split())
    listed = call("check", folder, "--runtime", "sglang==0.5.23", "--json").stdout
    [release] = json.loads(listed)["checkpoints"][0]["runtimes"]
    assert release["options"] == [OPTION]
    served = call("rewrite", folder, "--runtime", "sglang==0.5.23", "--overrides").stdout
    assert served.startswith(f"# sglang 0.5.23: loads with {OPTION}\n")
