"""What a user may name instead of a checkpoint: it is entered, or named for what it is."""

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

import ckptfix
from tests.conftest import DATA, Run

GOOD = "llama-fp8-kv8"
BAD = "nanovl-mixed"


def put(directory: Path, **files: object) -> Path:
    """A folder with these files; `__` means a dot."""
    directory.mkdir(parents=True)
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (directory / name.replace("__", ".")).write_text(text)
    return directory


def lora(directory: Path) -> Path:
    put(directory, adapter_config__json={"base_model_name_or_path": "organization/base"})
    shutil.copy(DATA / GOOD / "model.safetensors", directory / "adapter_model.safetensors")
    return directory


def gguf(directory: Path) -> Path:
    return put(directory, model_Q4_K_M__gguf="GGUF")


def pickles(directory: Path) -> Path:
    config = {"architectures": ["LlamaForCausalLM"]}
    return put(directory, config__json=config, pytorch_model__bin="\x80\x02")


def pipeline(directory: Path) -> Path:
    parts = {"_class_name": "FluxPipeline", "transformer": ["diffusers", "FluxTransformer2DModel"]}
    put(directory, model_index__json=parts)
    put(directory / "transformer", config__json={"_class_name": "FluxTransformer2DModel"})
    return directory


def unquantized(directory: Path) -> Path:
    put(directory, config__json={"architectures": ["LlamaForCausalLM"]})
    header = json.dumps({"a.weight": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}})
    data = len(header).to_bytes(8, "little") + header.encode() + bytes(2)
    (directory / "model.safetensors").write_bytes(data)
    return directory


OTHERS = {
    lora: "a LoRA adapter, not a checkpoint; name the checkpoint that it adapts, organization/base",
    gguf: "GGUF weights only and no .safetensors file; ckptfix reads safetensors only",
    pickles: "pickled weights only and no .safetensors file; ckptfix reads safetensors only and "
    "never unpickles",
    pipeline: "a diffusers pipeline, not one checkpoint; name one of its parts, such as ",
    unquantized: "not a quantized checkpoint: ",
}


@pytest.mark.parametrize("make", OTHERS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("command", ["check", "inspect", "rewrite"])
def test_what_is_no_checkpoint_is_named_in_one_sentence(
    make: type, command: str, tmp_path: Path, run: Run
) -> None:
    directory = make(tmp_path / "thing")
    done = run(command, "thing")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"error: {directory}: {OTHERS[make]}")
    assert done.stderr.count("\n") == 1
    skipped = run("check", "thing", "--skip-unsupported")
    assert skipped.returncode == 0
    assert skipped.stdout == "1 checkpoint: 1 skipped\n"
    assert skipped.stderr == done.stderr.replace("error: ", "skipped: ")


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """A repository of models, one of them in the folder of an organization."""
    shutil.copytree(DATA / GOOD, tmp_path / "good")
    shutil.copytree(DATA / BAD, tmp_path / "organization" / "bad")
    for make in OTHERS:
        make(tmp_path / f"x-{make.__name__}")
    put(tmp_path / ".git", config__json={"architectures": []})
    put(tmp_path / "website", config__json={"title": "no model"}, README__md="")
    return tmp_path


@pytest.mark.usefixtures("collection")
def test_a_directory_of_checkpoints_is_checked_one_by_one(run: Run) -> None:
    done = run("check", ".", "--json")
    report = json.loads(done.stdout)
    names = [found["checkpoint"] for found in report["checkpoints"]]
    assert names == ["good", "organization/bad", *(sorted(f"x-{m.__name__}" for m in OTHERS))]
    assert done.returncode == report["exit_code"] == 2
    assert [bool(found["error"]) for found in report["checkpoints"]] == [False] * 2 + [True] * 5


def test_a_mixed_list_is_green_where_what_is_unsupported_is_skipped(
    collection: Path, run: Run
) -> None:
    shutil.rmtree(collection / "organization")
    done = run("check", ".", "--skip-unsupported")
    assert done.returncode == 0
    assert done.stdout.endswith("6 checkpoints: 1 clean, 5 skipped\n")
    assert done.stderr.count("skipped: ") == 5
    for form in ("json", "jsonl", "sarif", "github", "junit", "html"):
        shown = run("check", ".", "--skip-unsupported", "--format", form)
        assert shown.returncode == 0, shown.stderr
        assert "a LoRA adapter" in shown.stdout
    lines = run("check", ".", "--skip-unsupported", "--format", "jsonl").stdout.splitlines()
    skipped = [entry["checkpoint"] for x in lines for entry in json.loads(x)["skipped"]]
    assert sorted(skipped) == sorted(f"x-{make.__name__}" for make in OTHERS)


@pytest.mark.usefixtures("collection")
def test_what_was_skipped_is_counted_for_machines(run: Run) -> None:
    github = run("check", ".", "--skip-unsupported", "--format", "github").stdout
    assert "::notice title=5 skipped::" in github.splitlines()[-1]
    junit = ElementTree.fromstring(
        run("check", ".", "--skip-unsupported", "--format", "junit").stdout
    )
    suites = [s for s in junit if s.get("name", "").startswith("x-")]
    assert len(suites) == 5
    assert all((s.get("tests"), s.get("skipped")) == ("1", "1") for s in suites)


@pytest.mark.parametrize("lost", ["model.safetensors", "model-00002-of-00002.safetensors"])
def test_metadata_without_its_shard_files_is_answered_as_far_as_it_decides(
    lost: str, tmp_path: Path, run: Run
) -> None:
    fixture = BAD if lost == "model.safetensors" else "nanovl-mixed-sharded-split"
    made = tmp_path / "made"
    shutil.copytree(DATA / fixture, made, ignore=shutil.ignore_patterns("*.safetensors"))
    done = run("check", "made", COLUMNS="200")
    assert done.returncode == 2
    assert ".safetensors" in done.stderr
    first, *rows = done.stdout.splitlines()
    assert first == "Will made load? (metadata only)"
    table = rows[: rows.index("")]
    answers = dict(row.strip().split("  ", 1) for row in table)
    refused = "no, stops while loading: quant_method modelopt does not support"
    assert answers["vllm 0.15.0 to 0.16.0"].strip().startswith(refused)
    alone = "the metadata alone does not stop it"
    if fixture != BAD:
        alone = "nothing is wrong with the names, but dtypes and shapes decide too"
    missing = f"unknown, its shard files are missing; {alone}"
    (newest,) = [text for release, text in answers.items() if release.endswith("to 0.33.0")]
    assert newest.strip() == missing
    (checked,) = json.loads(run("check", "made", "--json").stdout)["checkpoints"]
    given = {(a["runtime"], a["version"]): a["loads"] for a in checked["runtimes"]}
    assert given["vllm", "0.16.0"] == "no"
    assert given["vllm", "0.33.0"] == "unknown"
    assert checked["loads"] is None
    (asked,) = run("check", "made", "--runtime", "vllm==0.16.0").stdout.splitlines()[1:2]
    assert asked.strip().startswith("vllm 0.16.0  no, stops while loading")


def test_an_index_without_shard_files_is_compared_by_names(tmp_path: Path, run: Run) -> None:
    made = tmp_path / "made"
    shards = shutil.ignore_patterns("*.safetensors")
    shutil.copytree(DATA / "nanovl-mixed-sharded-split", made, ignore=shards)
    done = run("check", "made", "--runtime", "vllm==0.17.1", "--runtime", "vllm==0.33.0")
    assert done.returncode == 2
    missing = "names model-00001-of-00017.safetensors and 16 more, which are missing; download the"
    assert missing in done.stderr
    rows = " ".join(done.stdout.split())
    assert "vllm 0.17.1 no, stops while loading: 10 of 10 modules built in a different" in rows
    assert "layers.3.mixer.o_proj quantized unquantized !" in rows
    assert "vllm 0.33.0 unknown, its shard files are missing; nothing is wrong with the n" in rows
    assert " yes" not in rows


def test_a_real_failure_is_not_skipped(collection: Path, run: Run) -> None:
    (collection / "good" / "model.safetensors").write_bytes(b"broken")
    done = run("check", ".", "--skip-unsupported")
    assert done.returncode == 2
    assert "1 failed, 5 skipped" in done.stdout


@pytest.mark.parametrize("command", ["inspect", "rewrite", "verify"])
def test_a_command_for_one_checkpoint_lists_the_choices(
    command: str, collection: Path, run: Run
) -> None:
    done = run(command, ".")
    assert done.returncode == 2
    assert done.stderr == (
        "error: .: a directory of 7 checkpoints, not one; name one of them, such as good\n"
    )
    done = run(command, "organization")
    assert done.stderr == "error: organization: not a model; name organization/bad\n"
    assert not (collection / "organization" / "bad" / ".ckptfix").exists()


def entry(cache: Path, *commits: str, main: str = "") -> Path:
    """A repository in the cache of huggingface_hub, its files links to blobs."""
    folder = cache / "models--organization--bad"
    (folder / "blobs").mkdir(parents=True)
    for commit in commits:
        (folder / "snapshots" / commit).mkdir(parents=True)
        for file in (DATA / BAD).iterdir():
            shutil.copy(file, folder / "blobs" / file.name)
            (folder / "snapshots" / commit / file.name).symlink_to(f"../../blobs/{file.name}")
    if main:
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text(main)
    return folder


def test_an_entry_of_the_hubs_cache_is_entered_and_never_rewritten(
    tmp_path: Path, run: Run
) -> None:
    folder = entry(tmp_path / "hub", "aaaa", "bbbb", main="bbbb")
    before = {path: path.read_bytes() for path in (folder / "blobs").iterdir()}
    snapshot = folder / "snapshots" / "bbbb"
    for named in ("hub", f"hub/{folder.name}"):
        done = run("check", named, "--runtime", "vllm==0.17.1")
        assert done.returncode == 1
        relative = snapshot.relative_to(tmp_path)
        assert f"  ckptfix rewrite {relative} --runtime vllm==0.17.1 --output DIR" in done.stdout
    done = run("rewrite", f"hub/{folder.name}")
    assert done.returncode == 2
    refusal = "is in the Hugging Face cache, which ckptfix never modifies; use --output DIR"
    assert refusal in done.stderr
    assert run("rewrite", f"hub/{folder.name}", "--output", "out").returncode == 0
    assert {path: path.read_bytes() for path in (folder / "blobs").iterdir()} == before
    assert list(snapshot.glob(".ckptfix")) == []


def test_an_entry_without_main_must_have_one_snapshot(tmp_path: Path, run: Run) -> None:
    folder = entry(tmp_path, "aaaa", "bbbb", main="../../../etc")
    done = run("inspect", folder.name)
    assert done.returncode == 2
    assert "holds 2 snapshots and no main; name one, such as " in done.stderr
    shutil.rmtree(folder / "snapshots" / "aaaa")
    assert ckptfix.inspect(folder).checkpoint == str(folder / "snapshots" / "bbbb")
    shutil.rmtree(folder / "snapshots" / "bbbb")
    assert "holds no snapshot; download it again" in run("inspect", folder.name).stderr


def test_a_loop_of_links_ends(tmp_path: Path, run: Run) -> None:
    shutil.copytree(DATA / GOOD, tmp_path / "a" / "b" / "good")
    (tmp_path / "a" / "b" / "again").symlink_to(tmp_path)
    done = run("check", ".")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "a/b/good: clean"


def test_a_pipeline_names_the_part_that_is_quantized(tmp_path: Path, run: Run) -> None:
    made = pipeline(tmp_path / "made")
    index = {"_class_name": "X", "transformer": ["diffusers", "A"], "text_encoder": ["t", "B"]}
    (made / "model_index.json").write_text(json.dumps(index))
    shutil.copytree(DATA / GOOD, made / "text_encoder")
    done = run("inspect", "made")
    assert done.returncode == 2
    assert f"such as {made}/text_encoder, which is quantized\n" in done.stderr
    assert run("check", "made/text_encoder").returncode == 0


@pytest.mark.parametrize(
    ("name", "data", "what"),
    [
        ("x.gguf", b"GGUF\x03", "is a GGUF file; ckptfix reads safetensors only"),
        ("x.bin", b"PK\x03\x04", "is a pickle (PyTorch zip archive); ckptfix reads safetensors"),
        ("x.txt", b"hello", "is a file, not a checkpoint directory; use the directory that"),
    ],
)
def test_a_file_named_instead_of_a_directory_is_named_for_what_it_is(
    name: str, data: bytes, what: str, tmp_path: Path, run: Run
) -> None:
    (tmp_path / name).write_bytes(data)
    for command in ("check", "inspect", "rewrite", "verify"):
        done = run(command, name)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"error: {name} {what}")
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("url", ["https://", "s3://", "memory:///"])
def test_a_url_of_nothing_is_reported_in_our_words(url: str, run: Run) -> None:
    done = run("inspect", url)
    assert done.returncode == 2
    assert done.stderr == (
        f"error: {url}: names nothing after ://; name the folder of a checkpoint\n"
    )
