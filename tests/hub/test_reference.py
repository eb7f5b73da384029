"""What a user can name."""

from pathlib import Path

import pytest

from ckptfix.errors import CkptfixError
from ckptfix.remote.reference import Directory, Reference, Repository, Url, parse_reference


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("org/name", Repository("org/name")),
        ("org/name@v1.0", Repository("org/name", "v1.0")),
        ("org/name@refs/pr/3", Repository("org/name", "refs/pr/3")),
        ("hf://org/name", Repository("org/name")),
        ("hf://models/org/name@dev", Repository("org/name", "dev")),
        ("hf://org/name@refs%2Fpr%2F3", Repository("org/name", "refs/pr/3")),
        ("https://huggingface.co/org/name", Repository("org/name")),
        ("https://huggingface.co/org/name/", Repository("org/name")),
        ("https://hf.co/org/name/tree/dev", Repository("org/name", "dev")),
        ("https://huggingface.co/org/name/blob/main/config.json", Repository("org/name", "main")),
        ("https://huggingface.co/org/name/tree/refs%2Fpr%2F3", Repository("org/name", "refs/pr/3")),
        ("https://huggingface.co/org/name/discussions/3", Repository("org/name", "refs/pr/3")),
        ("s3://bucket/a/b", Url("s3://bucket/a/b")),
        ("gs://bucket", Url("gs://bucket")),
        ("memory://a", Url("memory://a")),
        ("zip://a::s3://bucket/c.zip", Url("zip://a::s3://bucket/c.zip")),
        ("https://example.org/a/b", Url("https://example.org/a/b")),
        ("name", Directory("name")),
        ("./org/name", Directory("./org/name")),
        ("/org/name", Directory("/org/name")),
        ("a/b/c", Directory("a/b/c")),
        ("../name", Directory("../name")),
        ("org/name/", Directory("org/name/")),
        ("org/config.json", Directory("org/config.json")),
        ("org/model.safetensors", Directory("org/model.safetensors")),
        (".org/name", Directory(".org/name")),
        ("~/name", Directory("~/name")),
        ("https:///org/name", Url("https:///org/name")),
    ],
)
def test_what_a_name_means(text: str, expected: Reference) -> None:
    assert parse_reference(text) == expected


def test_a_page_of_ones_own_endpoint_is_a_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example.org")
    assert parse_reference("https://hub.example.org/org/name") == Repository("org/name")


def test_a_directory_of_that_name_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "org" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert parse_reference("org/name") == Directory("org/name")
    assert parse_reference("hf://org/name") == Repository("org/name")


def test_a_path_whose_parent_is_there_is_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "org").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    assert parse_reference("org/name") == Directory("org/name")
    assert parse_reference("org/name@v1") == Directory("org/name@v1")
    assert parse_reference("file/name") == Repository("file/name")
    assert parse_reference("other/name") == Repository("other/name")
    with pytest.raises(CkptfixError, match="for the repository write hf://org/name"):
        parse_reference("org/name", "v1")


@pytest.mark.parametrize("text", ["", " ", "\t\n", "\u3000"])
def test_an_empty_name_is_no_name(text: str) -> None:
    with pytest.raises(CkptfixError, match="the name of a checkpoint is empty"):
        parse_reference(text)


def test_a_revision_of_its_own_option() -> None:
    assert parse_reference("org/name", "dev") == Repository("org/name", "dev")
    assert parse_reference("org/name@dev", "dev") == Repository("org/name", "dev")


@pytest.mark.parametrize(
    ("text", "revision", "message"),
    [
        ("org/name@dev", "main", "cannot be used with `revision`"),
        ("./here", "dev", "`revision` only works for Hub repositories"),
        ("s3://bucket/a", "dev", "`revision` only works for Hub repositories"),
        ("org/name@../../x", None, "is not a branch, tag or commit"),
        ("org/name", "a\x1b[31m", r"'a\\x1b[31m' is not a branch"),
        ("hf://datasets/org/name", None, "not a model repository"),
        ("hf://name", None, "does not name a model repository"),
        ("https://huggingface.co/datasets/org/name", None, "does not name a model repository"),
        ("https://huggingface.co/org", None, "does not name a model repository"),
        ("https://huggingface.co/org/name/settings", None, "does not name a model repository"),
    ],
)
def test_a_name_that_cannot_be(text: str, revision: str | None, message: str) -> None:
    with pytest.raises(CkptfixError) as failed:
        parse_reference(text, revision)
    assert message in str(failed.value)
    assert str(failed.value).isprintable()
