"""The learner, against a made-up runtime whose model asks and loads as real ones do."""

import json
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from ckptfix.runtimes.learned.records import ReleaseRecord, TableRecord
from ckptfix.runtimes.learned.table import Table
from place_learner import demands, masks, tables, variants, writer

torch: Any = pytest.importorskip("torch")
TorchModule: Any = torch.nn.Module

from place_learner import quantized  # noqa: E402
from runtime_probe import built as built_models  # noqa: E402
from runtime_probe import trace  # noqa: E402
from runtime_probe.meta_mode import mode  # noqa: E402

LAYERS = 2
SIZE = 32


def test_the_tool_starts_without_the_environment_of_the_learner() -> None:
    tool = Path(__file__).parents[2] / "tools" / "learn_places.py"
    done = subprocess.run(
        [sys.executable, tool, "--help"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


class Linear(TorchModule):
    """A fused linear layer: `parts` times `SIZE` rows, with what its quantization wants beside."""

    def __init__(self, parts: int, prefix: str, quant: Any) -> None:
        super().__init__()
        algo = quant.ask(self, prefix) if quant else None
        rows = parts * SIZE
        shape = (rows, SIZE // 2) if algo == "NVFP4" else (rows, SIZE)
        dtype = {"NVFP4": torch.uint8, "FP8": torch.float8_e4m3fn}.get(algo or "", torch.bfloat16)
        self.parts = parts
        self.add("weight", shape, dtype)
        if algo == "NVFP4":
            self.add("weight_scale", (rows, SIZE // 16), torch.float8_e4m3fn)
            self.add("weight_scale_2", (parts,), torch.float32)
        elif algo == "FP8":
            self.add("weight_scale", (parts,), torch.float32)
        if algo:
            self.add("input_scale", (parts,), torch.float32)

    def add(self, name: str, shape: tuple[int, ...], dtype: Any) -> None:
        tensor = torch.empty(shape, dtype=dtype)
        self.register_parameter(name, torch.nn.Parameter(tensor, requires_grad=False))


class Quant:
    """What the metadata declares, and who looked it up."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.questions: dict[int, list[tuple[str, str]]] = {}

    def ask(self, layer: Any, prefix: str) -> str | None:
        self.questions.setdefault(id(layer), []).append((prefix, "Method"))
        excluded = prefix in self.config.get("ignore", ())
        algo = self.config.get("quant_algo")
        if algo == "MIXED_PRECISION":
            entries = self.config["quantized_layers"]
            first = prefix.replace("qkv", "q_proj")
            return entries[first]["quant_algo"] if first in entries else None
        return None if excluded or algo is None else algo


class Attention(TorchModule):
    """Its second layer is built without a config: nothing quantized loads there."""

    def __init__(self, prefix: str, quant: Any) -> None:
        super().__init__()
        self.qkv = Linear(3, f"{prefix}.qkv", quant)
        self.out = Linear(1, f"{prefix}.out", None)


class Layer(TorchModule):
    def __init__(self, prefix: str, quant: Any, *, norm: bool) -> None:
        super().__init__()
        self.attn = Attention(f"{prefix}.self_attn", quant)  # stored as self_attn
        self.up = Linear(1, f"{prefix}.up", quant)
        if norm:
            self.norm = torch.nn.Parameter(torch.empty(SIZE))


class Model(TorchModule):
    def __init__(self, config: dict[str, Any], quant: Any) -> None:
        super().__init__()
        made = [Layer(f"layers.{i}", quant, norm=config["use_norm"]) for i in range(LAYERS)]
        self.layers = torch.nn.ModuleList(made)

    def load_weights(self, weights: Any) -> None:
        parameters = dict(self.named_parameters())
        for name, tensor in weights:
            if name.endswith("rotary"):
                continue
            place = name.replace("self_attn", "attn")
            for part, shard in (("q_proj", 0), ("k_proj", 1), ("v_proj", 2)):
                if f".{part}." in place:
                    target = parameters[place.replace(part, "qkv")].data
                    rows = target.shape[0] // 3
                    if tensor.dim():
                        target[shard * rows : (shard + 1) * rows].copy_(tensor)
                    else:
                        target[shard] = tensor
                    break
            else:
                target = parameters[place].data
                target.copy_(tensor if tensor.dim() else tensor.reshape(1))


class StandIn:
    """The runtime."""

    kinds = built_models.Kinds(linear=(Linear,), head=(), embedding=(), experts=())

    def build(self, folder: Path, config: dict[str, Any], _: str) -> built_models.Built:
        given = json.loads((folder / "config.json").read_text("utf-8"))
        quant = Quant(given.get("quantization_config", {}))
        with mode():
            model = Model(config, quant)
        return built_models.Built(model, quant.questions, {}, None, nullcontext, "stand_in", None)

    def another_name(self, _: BaseException) -> bool:
        return False


def stored(*, norm: bool = True) -> trace.Tensors:
    names = [f"layers.{i}.self_attn.{p}_proj.weight" for i in range(LAYERS) for p in "qkv"]
    names += [f"layers.{i}.{p}.weight" for i in range(LAYERS) for p in ("self_attn.out", "up")]
    out = {name: torch.empty((SIZE, SIZE), dtype=torch.bfloat16, device="meta") for name in names}
    more = [f"layers.{i}.norm" for i in range(LAYERS) if norm] + ["layers.0.rotary"]
    return {**out, **{name: torch.empty(SIZE, device="meta") for name in more}}


def run_of(tmp_path: Path, *, norm: bool) -> dict[str, Any]:
    (tmp_path / "config.json").write_text("{}", "utf-8")
    built = StandIn().build(tmp_path, {"use_norm": norm}, "Made")
    return {
        "modules": built_models.modules(built, StandIn.kinds),
        "loads": {"saved": trace.load(built, stored(norm=norm))},
        "packed": {"qkv": ["q_proj", "k_proj", "v_proj"]},
        "inner": [],
    }


@pytest.fixture
def result(tmp_path: Path) -> dict[str, Any]:
    run = run_of(tmp_path, norm=True)
    base = {"modules": run["modules"], "load": run["loads"]["saved"]}
    return {
        "architecture": "Made",
        "status": "built",
        "class_file": "made/up.py",
        "source": "library",
        "config_from": "MadeConfig",
        "guessed": 0,
        "values": {"use_norm": True},
        "runs": [
            {"variant": "", **run},
            {"variant": "use_norm", "value": False, **run_of(tmp_path, norm=False)},
        ],
        "passes": quantized.learn(StandIn(), "Made", {"use_norm": True}, base, stored()),
    }


def test_rows_show_where_tensors_end_and_what_is_looked_up(result: dict[str, Any]) -> None:
    table = Table(tables_record(result))
    rows = {r.stored: (r.place, r.looked_up, r.kind) for r in table.rows.values()}
    assert rows == {
        "layers.#.self_attn.q_proj": ("layers.#.attn.qkv", "layers.#.self_attn.qkv", "linear"),
        "layers.#.self_attn.k_proj": ("layers.#.attn.qkv", "layers.#.self_attn.qkv", "linear"),
        "layers.#.self_attn.v_proj": ("layers.#.attn.qkv", "layers.#.self_attn.qkv", "linear"),
        "layers.#.self_attn.out": ("layers.#.attn.out", None, "linear"),
        "layers.#.up": ("layers.#.up", "layers.#.up", "linear"),
    }
    order = [stored for stored in table.rows if "qkv" in table.rows[stored].place]
    assert [name[-6:] for name in order] == ["q_proj", "k_proj", "v_proj"]
    assert table.record.unused == ("layers.#.rotary",)


def test_a_module_is_proved_only_where_its_scales_were_seen_to_load(result: dict[str, Any]) -> None:
    proved = {r.stored: r.proved for r in Table(tables_record(result)).rows.values()}
    assert proved["layers.#.up"] == "84m"
    assert proved["layers.#.self_attn.q_proj"] == "84m"
    assert proved["layers.#.self_attn.out"] == ""


def test_a_part_that_depends_on_the_config_keeps_its_condition(result: dict[str, Any]) -> None:
    table = Table(tables_record(result))
    [with_norm] = table.shapes("layers.#", {"use_norm": True}) or ()
    [without] = table.shapes("layers.#", {"use_norm": False}) or ()
    assert with_norm - without == {"norm"}
    assert table.shapes("layers.#", {}) == (with_norm,)
    assert table.shapes("layers.#", {"use_norm": "both"}) is None


def test_a_config_that_loads_nothing_whole_has_no_shape(result: dict[str, Any]) -> None:
    result["runs"][1]["loads"]["saved"]["never_written"] = ["layers.0.up.weight"]
    table = Table(tables_record(result))
    assert table.shapes("layers.#", {"use_norm": False}) is None
    assert table.shapes("layers.#", {"use_norm": True}) is not None


def test_numbers_that_do_not_carry_over_are_reported(result: dict[str, Any]) -> None:
    for run in result["runs"]:
        for row in run["modules"]:
            row["asked"] = [n.replace("layers.1", "layers.7") for n in row["asked"] or ()] or None
    assert "layers.#.up.weight" in tables_record(result).unclear
    assert "layers.#.up" in Table(tables_record(result)).unclear


def tables_record(result: dict[str, Any]) -> TableRecord:
    import msgspec

    return msgspec.convert(tables.table(result), TableRecord)


def test_equal_tables_are_written_once_and_read_back(
    result: dict[str, Any], tmp_path: Path
) -> None:
    other = {**result, "architecture": "Other"}
    failed = {"architecture": "Bad", "status": "failed", "error": "no\n/some/where/x.py value"}
    release, found = writer.release_of("made", "1.0", "5.0", iter([result, other, failed]))
    message = writer.write(tmp_path / "learned", release, found)
    assert message == ["Made: new, from library MadeConfig", "Other: new, from library MadeConfig"]
    lines = (tmp_path / "learned" / "tables.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == 3  # a brace, the table, a brace
    assert isinstance(release, ReleaseRecord)
    assert release.failed == {"Bad": "no PATH value"}
    later, found = writer.release_of("made", "2.0", "5.0", iter([result]))
    writer.write(tmp_path / "learned", later, found)
    assert (tmp_path / "learned" / "tables.jsonl").read_text("utf-8").splitlines() == lines


def test_a_shrunk_config_keeps_one_of_each_kind_of_layer() -> None:
    kinds = ["linear"] * 5 + ["full"] * 5
    config = {"num_hidden_layers": 10, "layer_types": kinds, "n_routed_experts": 256}
    small = variants.shrink(config)
    assert small["num_hidden_layers"] == 4
    assert set(small["layer_types"]) == {"linear", "full"}
    assert len(small["layer_types"]) == 4
    assert small["n_routed_experts"] == 8


def test_a_shrunk_config_declares_the_same_in_both_spellings() -> None:
    config = {"num_hidden_layers": 60, "first_k_dense_replace": 10}
    small: dict[str, Any] = variants.shrink(
        {**config, "mlp_layer_types": ["dense"] * 10 + ["sparse"] * 50}
    )
    assert small["first_k_dense_replace"] == 1
    assert small["mlp_layer_types"] == ["dense", "sparse", "sparse", "sparse"]


def test_variants_change_one_value_of_the_language_model() -> None:
    config: dict[str, Any] = {
        "tie_word_embeddings": False,
        "text_config": {"attention_bias": True, "eos": 2},
    }
    changed: dict[str, Any] = dict(variants.changed(config))
    assert list(changed) == ["tie_word_embeddings", "text_config.attention_bias"]
    assert changed["tie_word_embeddings"]["tie_word_embeddings"] is True
    assert changed["text_config.attention_bias"]["text_config"]["attention_bias"] is False
    assert config["text_config"]["attention_bias"] is True


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Only silu hidden_act is supported", [("hidden_act", "silu")]),
        ("`use_bias` must be False", [("use_bias", False)]),
        ("requires `num_experts`", [("num_experts", 8)]),
    ],
)
def test_an_error_names_what_a_config_must_contain(text: str, wanted: list[Any]) -> None:
    assert demands.demanded(ValueError(text)) == wanted


def test_only_whole_numbers_between_dots_are_masked() -> None:
    assert masks.mask("model.layers.12.mlp.w1.3") == "model.layers.#.mlp.w1.#"
