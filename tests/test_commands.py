"""Words that a shell takes as they are, and texts of ours whose commands name a checkpoint."""

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ckptfix.commands import ELSEWHERE, arguments, path_word, quoted, suggested, with_name
from ckptfix.rules.registry import RULES

SOURCES = Path(__file__).parents[1] / "src" / "ckptfix"
WORDS = [
    "nano-vl", "-rf", "--", "", "a b", "it's", '"', "$(id)", "`id`", "$HOME", "a;b", "a&b", "*",
    "?", "[a]", "{a,b}", "~", "~root", "#x", "=ls", "!!", "a\\b", "\\", "a\nb", "\t", "\x1b[2J",
    "\x7f", "é ü", "\u202ejpg", "\xa0", "\U0001f600", "\udcff", "a'\x01b", "%s", "a=b",
    "vllm==1!2.0",
]  # fmt: skip


def words_in(shell: str, words: list[str]) -> list[str]:
    """What a shell makes of quoted words."""
    script = f"printf '%s\\0' {' '.join(map(quoted, words))}"
    done = subprocess.run([shell, "-c", script], check=True, capture_output=True)
    return [word.decode("utf-8", "surrogateescape") for word in done.stdout.split(b"\0")[:-1]]


def test_bash_reads_back_what_was_quoted() -> None:
    assert words_in("bash", WORDS) == WORDS


def test_a_plain_shell_reads_back_what_can_be_shown() -> None:
    shown = [word for word in WORDS if word.isprintable()]
    assert words_in("sh", shown) == shown


characters = st.characters(exclude_characters="\0", exclude_categories=["Cs"])


@settings(max_examples=30)
@given(st.lists(st.text(characters), min_size=1, max_size=20))
def test_bash_reads_back_any_word(words: list[str]) -> None:
    assert words_in("bash", words) == words
    assert all(quoted(word).isprintable() for word in words)


def test_options_stand_before_a_name_that_starts_with_a_dash() -> None:
    assert arguments("rewrite", "-rf", "--undo") == ["rewrite", "--undo", "--", "-rf"]
    assert suggested("rewrite", "-rf", "--undo") == "ckptfix rewrite --undo -- -rf"
    assert suggested("rewrite", "a b", "--undo") == "ckptfix rewrite 'a b' --undo"
    assert path_word("-rf") == "./-rf"
    assert path_word("a") == "a"


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("run ckptfix rewrite", "a", "run ckptfix rewrite a"),
        ("run ckptfix rewrite", "-a", "run ckptfix rewrite -- -a"),
        ("run ckptfix rewrite --tensors", "a b", "run ckptfix rewrite 'a b' --tensors"),
        ("ckptfix rewrite --tensors does", "-a", "ckptfix rewrite --tensors -- -a does"),
        ("x, ckptfix check --runtime vllm asks", "a", "x, ckptfix check a --runtime vllm asks"),
        (
            "ckptfix rewrite --dry-run --runtime 'vllm==1!2'",
            "-a",
            "ckptfix rewrite --dry-run --runtime 'vllm==1!2' -- -a",
        ),
        ("ckptfix rewrite DIR --tensors", "a", "ckptfix rewrite DIR --tensors"),
        ("ckptfix rules lists them", "a", "ckptfix rules lists them"),
        ("ckptfix reads safetensors only", "a", "ckptfix reads safetensors only"),
    ],
)
def test_a_text_gets_the_name_of_the_checkpoint(text: str, name: str, expected: str) -> None:
    assert with_name(text, name) == expected


def test_a_rewrite_of_what_is_no_directory_gets_an_output() -> None:
    assert with_name("run ckptfix rewrite", "o/n", *ELSEWHERE) == (
        "run ckptfix rewrite o/n --output DIR"
    )
    dry = with_name("run ckptfix rewrite --dry-run", "o/n", *ELSEWHERE)
    assert dry == "run ckptfix rewrite o/n --dry-run"
    assert with_name("ckptfix check", "o/n", *ELSEWHERE) == "ckptfix check o/n"


def test_the_fix_of_every_rule_names_a_placeholder() -> None:
    named = [
        m for rule in RULES.values() for m in re.findall(r"ckptfix (?:check|rewrite) \S+", rule.fix)
    ]
    assert len(named) > 5
    assert {mention.split()[-1] for mention in named} == {"DIR"}


def test_commands_with_a_name_are_made_in_one_place() -> None:
    """An f-string that puts a name behind a command would quote it its own way, or not at all."""
    made = re.compile(r"ckptfix (?:check|rewrite|verify|inspect|resolve)(?: --[\w-]+)* \{(?!specs)")
    found = [
        f"{path.name}: {match[0]}"
        for path in sorted(SOURCES.rglob("*.py"))
        for match in made.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []
