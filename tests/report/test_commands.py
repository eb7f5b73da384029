"""Words for a shell, and messages with flags and commands in place of parameters and calls."""

import ast
import re
import subprocess
from collections.abc import Iterator
from inspect import signature
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ckptfix
from ckptfix.calls import call
from ckptfix.report.commands import ELSEWHERE, arguments, path_word, quoted, suggested
from ckptfix.report.spelling import FLAGS, spelled
from ckptfix.rules.registry import RULES

SOURCES = Path(__file__).parents[2] / "src" / "ckptfix"
WORDS = [
    "nano-vl", "-rf", "--", "", "a b", "it's", '"', "$(id)", "`id`", "$HOME", "a;b", "a&b", "*",
    "?", "[a]", "{a,b}", "~", "~root", "#x", "=ls", "!!", "a\\b", "\\", "a\nb", "\t", "\x1b[2J",
    "\x7f", "é ü", "\u202ejpg", "\xa0", "\U0001f600", "\udcff", "a'\x01b", "%s", "a=b",
    "vllm==1!2.0",
]  # fmt: skip


def words_in(shell: str, words: list[str]) -> list[str]:
    """How a shell reads quoted words."""
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


def test_options_come_before_a_name_that_starts_with_a_dash() -> None:
    assert arguments("rewrite", "-rf", "--undo") == ["rewrite", "--undo", "--", "-rf"]
    assert suggested("rewrite", "-rf", "--undo") == "ckptfix rewrite --undo -- -rf"
    assert suggested("rewrite", "a b", "--undo") == "ckptfix rewrite 'a b' --undo"
    assert path_word("-rf") == "./-rf"
    assert path_word("a") == "a"


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("run `rewrite()`", "a", "run ckptfix rewrite a"),
        ("run `rewrite()`", "-a", "run ckptfix rewrite -- -a"),
        ("run `rewrite(tensors=True)`", "a b", "run ckptfix rewrite 'a b' --tensors"),
        ("`rewrite(tensors=True)` does", "-a", "ckptfix rewrite --tensors -- -a does"),
        ("x, `check(runtimes=['vllm'])` is", "a", "x, ckptfix check a --runtime vllm is"),
        ("`check(runtimes=[SPEC])`", "a", "ckptfix check a --runtime SPEC"),
        (
            "`plan(runtimes=['vllm==1!2', 'sglang'])`",
            "-a",
            "ckptfix rewrite --dry-run --runtime 'vllm==1!2' --runtime sglang -- -a",
        ),
        ("`undo('a b')`", "c", "ckptfix rewrite 'a b' --undo"),
        ("`output` /x: is not empty", "a", "--output /x: is not empty"),
        ("use `output=DIR` or `device='cpu'`", "a", "use --output DIR or --device cpu"),
        ("`runtimes` vlm: unknown", "a", "--runtime vlm: unknown"),
        ("see ckptfix rules", "a", "see ckptfix rules"),
        ("`made_up` and `rewrite(` and `", "a", "`made_up` and `rewrite(` and `"),
    ],
)
def test_a_message_for_python_becomes_one_for_the_command_line(
    text: str, name: str, expected: str
) -> None:
    assert spelled(text, name) == expected


@pytest.mark.parametrize("name", [word for word in WORDS if "\0" not in word and word])
def test_a_call_that_names_its_checkpoint_becomes_a_command_to_paste(name: str) -> None:
    assert (
        spelled(f"run {call('undo', name)} now")
        == f"run {suggested('rewrite', name, '--undo')} now"
    )


def test_a_rewrite_of_what_is_no_directory_gets_an_output() -> None:
    assert spelled("run `rewrite()`", "o/n", *ELSEWHERE) == "run ckptfix rewrite o/n --output DIR"
    assert spelled("run `plan()`", "o/n", *ELSEWHERE) == "run ckptfix rewrite o/n --dry-run"
    assert spelled("`check()`", "o/n", *ELSEWHERE) == "ckptfix check o/n"


def test_every_parameter_that_a_message_may_name_is_one_of_the_api() -> None:
    functions = (ckptfix.check, ckptfix.plan, ckptfix.rewrite, ckptfix.verify, ckptfix.compare)
    known = {name for function in functions for name in signature(function).parameters}
    assert set(FLAGS) <= known


def test_the_fix_of_every_rule_names_a_placeholder() -> None:
    fixes = [spelled(rule.fix) for rule in RULES.values()]
    named = [m for fix in fixes for m in re.findall(r"ckptfix (?:check|rewrite) \S+", fix)]
    assert len(named) > 5
    assert {mention.split()[-1] for mention in named} == {"DIR"}


def literals(path: Path) -> Iterator[tuple[int, str]]:
    """(line, string literal) of a module, without its docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node.lineno, node.value


def test_no_message_below_the_reports_names_a_flag() -> None:
    """It would be wrong for users of the Python API; `spelled` makes flags of parameters."""
    of_servers = (
        "model-path|hf-overrides|json-model-override-args|quantization|config-format|load-format"
        "|model-config-parser|allow-deprecated-quantization"
    )
    flag = re.compile(rf"(?<![\w-])--(?!{of_servers})[a-z]")
    edges = (SOURCES / "cli", SOURCES / "report", SOURCES / "demo")
    found = [
        f"{path.relative_to(SOURCES)}:{line}"
        for path in sorted(SOURCES.rglob("*.py"))
        if not any(edge in path.parents for edge in edges)
        for line, text in literals(path)
        if flag.search(text)
    ]
    assert found == []


def test_commands_with_a_name_are_made_in_one_place() -> None:
    """An f-string that puts a name behind a command would quote it its own way, or not at all."""
    made = re.compile(r"ckptfix (?:check|rewrite|verify|inspect|resolve)(?: --[\w-]+)* \{(?!specs)")
    found = [
        f"{path.name}: {match[0]}"
        for path in sorted(SOURCES.rglob("*.py"))
        for match in made.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []
