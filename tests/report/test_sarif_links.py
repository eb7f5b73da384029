"""SARIF links to the documentation if the package names its address, otherwise nowhere."""

import importlib.metadata
import json
from email.message import Message
from typing import Any

import pytest

from tests.conftest import DATA, Call
from tests.report.test_formats import SARIF


def driver(call: Call) -> dict[str, Any]:
    report = json.loads(call("check", DATA / "nanovl-mixed", "--format", "sarif").stdout)
    SARIF.validate(report)
    found: dict[str, Any] = report["runs"][0]["tool"]["driver"]
    return found


def test_without_a_public_address_there_is_no_link(call: Call) -> None:
    found = driver(call)
    assert "informationUri" not in found
    assert not any("helpUri" in rule for rule in found["rules"])


def test_links_follow_the_documentation_url_of_the_package(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = Message()
    package["Project-URL"] = "Source, https://example.org/source"
    package["Project-URL"] = "Documentation, https://example.org/ckptfix/docs/"
    monkeypatch.setattr(importlib.metadata, "metadata", lambda _: package)
    found = driver(call)
    assert found["informationUri"] == "https://example.org/ckptfix/docs"
    links = {rule["id"]: rule["helpUri"] for rule in found["rules"]}
    assert links["CKF101"] == "https://example.org/ckptfix/docs/rules/CKF101.md"
