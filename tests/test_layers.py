"""What no import contract can say: who imports what by a rule, and what messages may name."""

import ast
import shutil
from collections.abc import Iterator
from pathlib import Path

import ckptfix

ROOT = Path(__file__).parents[1]
PACKAGE = Path(ckptfix.__file__).parent
BELOW_REPORT = [path for path in PACKAGE.rglob("*.py") if path.parent.name not in ("cli", "report")]
MADE_UP = ROOT / "tests" / "runtimes" / "made_up"


def imported(path: Path) -> Iterator[str]:
    """The dotted names that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def reached(names: Iterator[str], package: str) -> list[str]:
    return [name for name in names if name == package or name.startswith(f"{package}.")]


def test_the_command_line_is_imported_by_its_own_tests_only() -> None:
    files = [
        path for top in ("tests", "tools", "benchmarks") for path in (ROOT / top).rglob("*.py")
    ]
    outside = [path for path in files if not path.is_relative_to(ROOT / "tests" / "cli")]
    assert len(outside) > 100
    assert {
        str(path): names for path in outside if (names := reached(imported(path), "ckptfix.cli"))
    } == {}


def foreign_imports(package: Path) -> list[str]:
    """Every import of a runtime's folder from outside it, the registry's apart."""
    runtimes = package / "runtimes"
    folders = [path.parent for path in runtimes.glob("*/runtime.py")]
    assert len(folders) > 1
    return [
        f"{path.relative_to(package)} imports {name}"
        for folder in folders
        for path in sorted(package.rglob("*.py"))
        if not path.is_relative_to(folder) and path != runtimes / "registry.py"
        for name in reached(imported(path), f"ckptfix.runtimes.{folder.name}")
    ]


def test_only_the_registry_imports_a_runtime() -> None:
    assert foreign_imports(PACKAGE) == []


def test_that_holds_for_an_unlisted_runtime(tmp_path: Path) -> None:
    package = Path(shutil.copytree(PACKAGE, tmp_path / "ckptfix"))
    made_up = shutil.copytree(MADE_UP, package / "runtimes" / "made_up")
    assert foreign_imports(package) == []
    with (Path(made_up) / "runtime.py").open("a", encoding="utf-8") as file:
        file.write("from ckptfix.runtimes.vllm.exclusion import _\n")
    with (package / "runtimes" / "family.py").open("a", encoding="utf-8") as file:
        file.write("def late():\n    import ckptfix.runtimes.made_up.runtime\n")
    assert sorted(foreign_imports(package)) == [
        "runtimes/family.py imports ckptfix.runtimes.made_up.runtime",
        "runtimes/made_up/runtime.py imports ckptfix.runtimes.vllm.exclusion._",
    ]


def stream_lines(path: Path) -> Iterator[int]:
    """Lines with `sys.stdout` or `print`; the pipes of a subprocess are no stream of ours."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Attribute(attr="stdout" | "stderr", value=ast.Name(id="sys")):
                yield node.lineno
            case ast.Name(id="print"):
                yield node.lineno


def test_nothing_below_report_writes_to_a_stream_of_the_process() -> None:
    # What another Python runs writes to its own.
    ours = (path for path in BELOW_REPORT if "script" not in path.parts)
    streams = {f"{path.relative_to(PACKAGE)}:{n}" for path in ours for n in stream_lines(path)}
    assert streams == set()
