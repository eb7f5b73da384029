import json

from tests.conftest import Call


def test_known_releases_are_listed_with_their_sources(call: Call) -> None:
    done = call("runtimes")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["runtime", "release", "architectures", "source"]
    assert [line.split()[:3] for line in lines if line.startswith("vllm")][-1] == [
        "vllm",
        "0.33.0",
        "415",
    ]
    assert [line.split()[:3] for line in lines if line.startswith("sglang")][-1] == [
        "sglang",
        "0.5.23",
        "290",
    ]
    assert all("sha256" in line for line in lines[1:])


def test_an_architecture_is_shown_release_by_release(call: Call) -> None:
    done = call("runtimes", "NemotronH_Nano_VL_V2")
    assert done.returncode == 0
    before, after = done.stdout.split("vllm 0.20.0 to 0.30.0")
    assert "no name mapper" in before
    assert "prefix language_model.backbone -> language_model.model" in after
    rows = json.loads(call("runtimes", "NemotronH_Nano_VL_V2", "--json").stdout)
    with_mapper = [(r["runtime"], r["version"]) for r in rows if r["rules"]]
    assert with_mapper[0] == ("vllm", "0.20.0")
    assert ("sglang", "0.5.12.post1") not in with_mapper
    assert ("sglang", "0.5.13") in with_mapper


def test_an_unknown_architecture_is_reported_with_the_nearest(call: Call) -> None:
    done = call("runtimes", "NemotronH_Nano_VL")
    assert done.returncode == 2
    assert "did you mean NemotronH_Nano_VL_V2" in done.stderr
    assert done.stdout == ""
