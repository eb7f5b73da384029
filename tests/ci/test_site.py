"""`make docs`: the site is built, loads nothing from elsewhere, and no link leads nowhere."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDED = ("Makefile", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "mkdocs.yml", "docs")
PARTS = ("requirements", "tools", "tests/field", "tests/oracle", "src/ckptfix/runtimes/name_maps")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    for name in (*NEEDED, "action.yml", "Dockerfile", *PARTS):
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    return folder


def make_docs(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", "docs"], check=False, cwd=folder, capture_output=True, text=True)


@pytest.mark.slow
def test_the_site_is_whole_and_a_broken_link_fails_it(copy: Path) -> None:
    done = make_docs(copy)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list((copy / "site").rglob("*.html"))
    assert len(pages) > 60
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|img|link|iframe)[^>]+(?:src|href)="(https?:[^"]*)"', text)
        assert loaded == [], page
    start = (copy / "site" / "index.html").read_text(encoding="utf-8")
    assert 'href="serve/"' in start
    assert "docs/" not in "".join(re.findall(r'href="([^"]*)"', start))

    with (copy / "docs" / "faq.md").open("a", encoding="utf-8") as page_file:
        page_file.write("\n[nowhere](rewrite.md#no-such-heading)\n")
    broken = make_docs(copy)
    assert broken.returncode != 0
    assert "no-such-heading" in broken.stdout + broken.stderr


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert pages | {"index.md", "rules/README.md"} == listed
