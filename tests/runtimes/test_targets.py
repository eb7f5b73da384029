import pytest

from ckptfix.errors import CkptfixError
from ckptfix.runtimes.targets import Target, parse_target

KNOWN = {"vllm": ("0.17.1", "0.20.0", "0.33.0"), "sglang": ("0.5.9", "0.5.10.post1", "0.5.14")}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("vllm==0.20.0", ["vllm 0.20.0"]),
        ("vLLM == 0.20.0", ["vllm 0.20.0"]),
        ("vllm==0.22", ["vllm 0.22 (as 0.20.0)"]),
        ("vllm==0.33", ["vllm 0.33.0"]),
        ("vllm==0.40.1", ["vllm 0.40.1 (as 0.33.0)"]),
        ("vllm==0.21.0rc1", ["vllm 0.21.0rc1 (as 0.20.0)"]),
        ("vllm>=0.20", ["vllm 0.20.0", "vllm 0.33.0"]),
        ("vllm<0.33,>0.17.1", ["vllm 0.20.0"]),
        ("sglang>=0.5.10", ["sglang 0.5.10.post1", "sglang 0.5.14"]),
        ("sglang", ["sglang 0.5.9", "sglang 0.5.10.post1", "sglang 0.5.14"]),
    ],
)
def test_the_releases_that_a_spec_means(spec: str, expected: list[str]) -> None:
    assert [str(target) for target in parse_target(spec, KNOWN)] == expected


def test_a_release_between_two_known_ones_is_answered_by_the_older() -> None:
    assert parse_target("vllm==0.28.0", KNOWN) == (Target("vllm", "0.28.0", "0.20.0"),)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("tgi==1.0", "`runtimes` tgi==1.0: unknown runtime; known are vllm and sglang"),
        ("", "unknown runtime"),
        ("==1", "unknown runtime"),
        ("vllm=0.17.1", "not a version specifier; write vllm==0.33.0, vllm>="),
        ("vllm-0.33.0", "unknown runtime; did you mean vllm==0.33.0"),
        ("vlm>=0.20", "unknown runtime; did you mean vllm>=0.20"),
        ("vllm==zero", "not a version specifier"),
        ("vllm==0.10", "older than the oldest known release, 0.17.1"),
        ("vllm>1", "no known release fits; known are 0.17.1, 0.20.0, 0.33.0"),
        ("vllm\n\x1b[1m", "not a version specifier"),
    ],
)
def test_a_bad_spec_is_reported_in_one_sentence(spec: str, message: str) -> None:
    with pytest.raises(CkptfixError) as error:
        parse_target(spec, KNOWN)
    assert message in str(error.value)
    assert str(error.value).isprintable()
