"""What `make docs` does to the pages: the README is the first one, and links out of docs/ go.

mkdocs calls these functions by name (https://www.mkdocs.org/user-guide/configuration/#hooks). It is
installed for `make docs` only.
"""

import re
from importlib import import_module
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")


class _Files(Protocol):
    def append(self, file: object, /) -> None: ...


class _File(Protocol):
    src_uri: str


class _Page(Protocol):
    file: _File


def on_files(files: _Files, config: object) -> _Files:
    """README.md is the first page."""
    made = import_module("mkdocs.structure.files").File.generated
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    files.append(made(config, "index.md", content=text.replace("](docs/", "](")))
    return files


def on_page_markdown(markdown: str, *, page: _Page, **_: object) -> str:
    """A link to a file that is not part of the site becomes the path of the file."""
    folder = (ROOT / "docs" / page.file.src_uri).parent

    def shown(match: re.Match[str]) -> str:
        text, target = match[1], match[2].partition("#")[0]
        if not target or "://" in target:
            return match[0]
        path = (folder / target).resolve()
        if path.is_relative_to(ROOT / "docs") and path.exists():
            return match[0]
        outside = path if path.exists() else ROOT / target
        name = str(outside.relative_to(ROOT))
        return text if name in text else f"{text} (`{name}`)"

    return LINK.sub(shown, markdown)
