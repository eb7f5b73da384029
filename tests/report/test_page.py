"""`check --format html`: a page that is self-contained and holds whatever a checkpoint holds."""

import html
import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ckptfix.operations.check_one import CheckRequest, check_one
from ckptfix.operations.checked import CheckedCheckpoint
from ckptfix.operations.loading import load, open_named
from ckptfix.operations.plan import make_plan
from ckptfix.report.check_html import check_html
from ckptfix.report.check_report import CheckReport
from ckptfix.report.console import plain
from ckptfix.rules.finding import Severity
from tests.builders import Shapes, bf16, fp8, mixed, nvfp4, write_checkpoint
from tests.conftest import DATA, FIXTURE_NAMES, FIXTURES, Call, Run
from tests.report.browser import BROWSER, browse, pixels, screenshot

NANO_VL = DATA / "nanovl-mixed"
PICTURE = Path(__file__).parents[2] / "docs" / "page.png"
WITHOUT_END = {"meta", "br", "hr", "img", "input", "link"}
EXPECTED = {
    *("a", "b", "body", "code", "dd", "del", "div", "dl", "dt", "figcaption", "figure", "h1", "h2"),
    *("h3", "head", "header", "html", "ins", "li", "meta", "ol", "p", "path", "pre", "section"),
    *("span", "style", "svg", "table", "tbody", "td", "text", "th", "thead", "title", "tr", "ul"),
}


class Page(HTMLParser):
    """The elements, attributes and texts of a page; fails where an element is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in WITHOUT_END:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self._open[-1] if self._open else "", []).append(data)


def checked(directory: Path) -> CheckedCheckpoint:
    return check_one(str(directory), CheckRequest(every=False, page=True, patch=True))


def page_of(*found: CheckedCheckpoint) -> str:
    report = CheckReport(found, Severity.WARNING, Path("/"))
    return "\n".join(map(plain, check_html(report, False)))


def tall(directory: Path, layers: int = 61) -> Path:
    """A mixture of experts of many layers with holes in its metadata."""
    tensors: Shapes = {}
    for layer in range(layers):
        block = f"model.layers.{layer}"
        for part in ("q", "k", "v", "o"):
            tensors |= fp8(f"{block}.self_attn.{part}_proj")
        make = nvfp4 if layer % 5 else fp8
        for expert in range(2):
            for part in ("gate", "up", "down"):
                tensors |= make(f"{block}.mlp.experts.{expert}.{part}_proj")
    tensors |= bf16("lm_head") | bf16("model.embed_tokens")
    algos = {"U8": "NVFP4", "F8_E4M3": "FP8"}
    weights = [
        (n.removesuffix(".weight"), d) for n, (d, _) in tensors.items() if "weight" in n[-6:]
    ]
    entries = {name: algos[d] for i, (name, d) in enumerate(weights) if d in algos and i % 9}
    config = {"num_hidden_layers": layers, "num_experts": 2}
    return write_checkpoint(
        directory,
        tensors,
        mixed(entries) | {"quant_method": "modelopt"},
        architecture="Qwen3MoeForCausalLM",
        extra_config=config,
    )


def test_the_page_reports_what_every_other_format_reports(call: Call) -> None:
    done = call("check", NANO_VL, DATA / "llama-fp8-kv8", "nowhere", "--format", "html")
    assert done.returncode == 2
    report = json.loads(call("check", NANO_VL, DATA / "llama-fp8-kv8", "nowhere", "--json").stdout)
    page = Page(done.stdout)
    assert set(page.tags) <= EXPECTED
    assert "nowhere: no such directory" in done.stdout
    for found in report["checkpoints"][:2]:
        for finding in found["findings"]:
            assert finding["code"] in page.texts["span"]
    cells = re.findall(r'<td class="(\w+)" title="([^"]+)">(\w+)</td>', done.stdout)
    assert all(kind == text for kind, _, text in cells)
    columns = len(cells) // 2
    for found, row in zip(report["checkpoints"], (cells[:columns], cells[columns:]), strict=False):
        shown = {answer for _, _, answer in row}
        assert shown == {answer["loads"] for answer in found["runtimes"]}
    (shown,) = {title for _, title, _ in cells if title.startswith("vllm 0.17.0 to 0.19.1: no")}
    assert "10 of 23 modules built in a different format than stored" in shown


def test_the_map_shows_on_hover_what_a_release_builds() -> None:
    titles = Page(page_of(checked(NANO_VL))).texts["title"]
    (shown,) = (t for t in titles if "layers.{0,2}.mixer.in_proj" in t)
    assert shown.startswith("language_model.backbone.layers.{0,2}.mixer.in_proj (2 modules): ")
    assert "stored as FP8; vllm 0.17.0 to 0.19.1" in shown
    assert "builds unquantized: quantized_layers lists it with the checkpoint spelling" in shown


@pytest.mark.parametrize("name", FIXTURE_NAMES)
def test_the_patch_is_that_of_the_rewrite(name: str) -> None:
    """Also where it was planned on a folded checkpoint, whose files are not those on disk."""
    found = checked(FIXTURES / name)
    if found.advised is None:
        return
    opened = open_named(str(FIXTURES / name))
    plan = make_plan(opened, load(str(FIXTURES / name)), found.advised.request)
    assert found.advised.diff == plan.diff()
    (shown,) = re.findall(r'<pre class="diff">(.*?)</pre>', page_of(found), re.DOTALL) or [""]
    lines = html.unescape(re.sub(r"</?(?:ins|del|b)>", "", shown))
    assert plan.diff().startswith(lines)
    assert len(lines) == len(plan.diff()) or len(lines.splitlines()) == 400


HOSTILE = (
    "model.layers.0.<script>alert(1)</script>",
    "model.layers.0.q\"' onmouseover='alert(1)'",
    "model.layers.<svg/onload=alert(1)>.0.k",
    "model.layers.1.{{ 7 * 7 }}{% raw %}",
    "model.layers.1.</title></style><img src=http://example.com/x>",
    "model.layers.1.\x1b[31m\u202e&lt;b&gt;",
)


def test_no_name_becomes_markup(tmp_path: Path, run: Run) -> None:
    tensors: Shapes = {k: v for name in HOSTILE for k, v in fp8(name).items()}
    for name, value in list(tensors.items()):
        tensors[name.replace("alert", "stray")] = value
    directory = tmp_path / "<img src=x onerror=alert(1)>"
    entries = dict.fromkeys(HOSTILE, "NVFP4") | {f"{name}.<i>": "FP8" for name in HOSTILE}
    write_checkpoint(directory, tensors, mixed(entries), architecture="<script>x</script>")
    done = run("check", directory.name, "<b>nowhere</b>", "--format", "html")
    assert done.returncode == 2, done.stderr
    page = Page(done.stdout)
    assert set(page.tags) <= EXPECTED
    assert page.tags.count("style") == page.tags.count("h1") == 1
    names = {name for name, _ in page.attributes}
    assert not {name for name in names if name.startswith("on")} | names & {"src", "style"}
    assert all(value.startswith("#c") for name, value in page.attributes if name == "href")
    assert "alert(1)" in done.stdout
    assert "49" not in "".join(t for t in page.texts["title"] if "7 * 7" in t)
    assert "\x1b" not in done.stdout
    assert "\u202e" not in done.stdout


def test_the_page_is_self_contained() -> None:
    text = page_of(checked(NANO_VL))
    assert not re.search(r"<(?:script|link|iframe|img|object)\b|@import|url\(|https?://", text)
    assert text.startswith("<!doctype html>")


def test_a_hundred_checkpoints_stay_below_two_megabytes(tmp_path: Path) -> None:
    one = checked(tall(tmp_path / "tall"))
    assert one.findings
    assert one.layers is not None
    assert one.layers.differs
    hundred = [replace(one, name=f"models/organisation/checkpoint-{i}") for i in range(100)]
    page = page_of(*hundred)
    assert page.count("<section") == 100
    assert len(page.encode()) < 2_000_000


def test_long_patches_are_cut_with_a_note() -> None:
    one = checked(NANO_VL)
    assert one.advised is not None
    lines = len(one.advised.diff.splitlines())
    assert "more lines" not in page_of(one)
    text = page_of(*[replace(one, name=f"c{i}") for i in range(200)])
    hidden = re.findall(r"and (\d+) more lines: the same command with --dry-run", text)
    assert hidden == [str(lines - 20)] * 200


def test_without_jinja2_the_user_hears_it_before_the_work(
    monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.delitem(sys.modules, "ckptfix.report.check_html", raising=False)
    done = call("check", NANO_VL, "--format", "html")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "--format html needs jinja2" in done.stderr
    assert "ckptfix[html]" in done.stderr


needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium")
BACK = {False: (0xFF, 0xFF, 0xFF), True: (0x14, 0x18, 0x1F)}
FP8 = {False: (0x8F, 0xBD, 0xF0), True: (0x2F, 0x67, 0xA6)}
NVFP4 = {False: (0xF5, 0xBF, 0x6E), True: (0x8F, 0x5F, 0x17)}
WRONG = {False: (0xB3, 0x26, 0x1E), True: (0xFF, 0x8F, 0x86)}


@pytest.fixture
def page(tmp_path: Path) -> Path:
    file = tmp_path / "page.html"
    file.write_text(page_of(checked(NANO_VL), checked(tall(tmp_path / "tall"))), encoding="utf-8")
    return file


@needs_browser
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_a_browser_shows_the_map_in_light_and_dark(page: Path, width: int, dark: bool) -> None:
    picture = page.parent / "page.png"
    screenshot(page, picture, dark=dark, width=width, height=1600)
    seen = pixels(picture.read_bytes())
    assert seen.most_common(1)[0][0] == BACK[dark]
    for colour in (FP8, NVFP4, WRONG):
        assert seen[colour[dark]] > 50
        assert seen[colour[not dark]] == 0


@needs_browser
@pytest.mark.parametrize("width", [390, 768, 1280])
def test_nothing_is_wider_than_the_screen(page: Path, width: int) -> None:
    """Tables and maps scroll by themselves; the page does not."""
    measure = "<script>document.title = document.documentElement.scrollWidth</script></body>"
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", measure), encoding="utf-8")
    shown = browse(page, "--dump-dom", width=width)
    (wide,) = re.findall(r"<title>(\d+)</title>", shown)
    assert int(wide) <= max(width, 500)  # the narrowest window of some builds


@needs_browser
def test_the_picture_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`UPDATE_SNAPSHOTS=1` takes it again; where fonts differ, so does every pixel."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(NANO_VL, "nano-vl")
    tall(Path("qwen3-moe"), 48)
    file = tmp_path / "page.html"
    found = [checked(Path(name)) for name in ("qwen3-moe", "nano-vl")]
    file.write_text(page_of(*found), encoding="utf-8")
    target = PICTURE if os.environ.get("UPDATE_SNAPSHOTS") == "1" else tmp_path / "page.png"
    screenshot(file, target, dark=False, width=1000, height=620)
    seen, shown = pixels(target.read_bytes()), pixels(PICTURE.read_bytes())
    assert len(PICTURE.read_bytes()) < 150_000
    assert str(tmp_path) not in file.read_text(encoding="utf-8")
    for colour in (FP8[False], NVFP4[False], WRONG[False]):
        assert abs(seen[colour] - shown[colour]) <= shown[colour] // 4, "make snapshots"


@needs_browser
def test_it_prints(page: Path, tmp_path: Path) -> None:
    target = tmp_path / "page.pdf"
    browse(page, f"--print-to-pdf={target}", "--no-pdf-header-footer")
    data = target.read_bytes()
    assert data.startswith(b"%PDF-")
    assert 1 < len(re.findall(rb"/Type */Page\b", data)) < 20


def test_a_page_of_a_checkpoint_without_a_map_is_whole(copy_of: Callable[[str], Path]) -> None:
    found = check_one(str(copy_of("nanovl-mixed")), CheckRequest(every=False))
    assert found.layers is None
    Page(page_of(found))
