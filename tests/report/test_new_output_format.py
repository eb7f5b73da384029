"""An output format is one file and one row: tried on a copy of the package."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ckptfix
from tests.conftest import DATA

RENDERER = '''
"""`check --format csv`: one line per finding."""

from ckptfix.report.console import line
from ckptfix.text import visible


def check_csv(report, verbose):
    """Code, severity, subject and place."""
    yield line("code,severity,subject,place")
    for checked in report.checkpoints:
        for finding in checked.findings:
            subject = visible(finding.subject)
            yield line(f"{finding.code},{finding.rule.severity.value},{subject},{finding.place}")
'''
FIRST_ROW = '    "text": "for people",\n'
NEW_ROW = '    "csv": "one line per finding",\n'


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package with a new file, and a new row of the table."""
    copy = Path(shutil.copytree(Path(ckptfix.__file__).parent, tmp_path / "src" / "ckptfix"))
    (copy / "report" / "check_csv.py").write_text(RENDERER, encoding="utf-8")
    table = copy / "report" / "formats.py"
    rows = table.read_text(encoding="utf-8")
    assert FIRST_ROW in rows
    table.write_text(rows.replace(FIRST_ROW, FIRST_ROW + NEW_ROW), encoding="utf-8")
    return copy


def test_an_output_format_is_a_file_and_a_row(package: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(package.parent), "NO_COLOR": "1"}

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "ckptfix", "check", *arguments],
            check=False,
            capture_output=True,
            text=True,
            env=environment,
        )

    assert "csv: one line per finding" in " ".join(run("--help").stdout.split())

    checkpoint = DATA / "nanovl-mixed"
    done = run(checkpoint, "--format", "csv")
    assert done.returncode == 1, done.stderr
    head, first, *rest = done.stdout.splitlines()
    assert head == "code,severity,subject,place"
    assert first.startswith("CKF101,error,language_model.backbone.layers.0.mixer.in_proj,")
    assert len(rest) == 37

    report = tmp_path / "report.csv"
    written = run(checkpoint, "--format", "csv", "--output-file", report)
    assert (written.returncode, written.stdout) == (1, "")
    assert report.read_text(encoding="utf-8") == done.stdout

    refused = run(checkpoint, "--format", "cvs")
    assert refused.returncode == 2
    assert "did you mean csv" in refused.stderr
