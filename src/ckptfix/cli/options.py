"""Options that several commands share.

Imports only Typer: `--help` and `--version` load this file.
"""

from typing import Annotated

import typer

from ckptfix.cli.completion import releases

CheckpointArgument = Annotated[
    str,
    typer.Argument(
        metavar="CHECKPOINT",
        help="A directory, a Hugging Face Hub repository (org/name, org/name@revision, "
        "hf://..., https://huggingface.co/...), or an fsspec URL (s3://..., gs://...).",
        show_default=False,
    ),
]
RevisionOption = Annotated[
    str | None,
    typer.Option(
        "--revision",
        metavar="REV",
        help="Branch, tag, commit or refs/pr/N of the repository.",
        show_default=False,
    ),
]
OfflineOption = Annotated[
    bool, typer.Option("--offline", help="Work offline, using only what is cached.")
]
RefreshOption = Annotated[
    bool,
    typer.Option("--refresh", help="Query the Hub even if the local cache has a snapshot."),
]
MapOption = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="OLD=NEW",
        help="Rename the prefix OLD to NEW; repeatable. Replaces the built-in name map.",
        show_default=False,
    ),
]
MapperOption = Annotated[
    str | None,
    typer.Option(
        "--mapper",
        metavar="FILE",
        help="TOML file with ordered rules, applied before any --map. Replaces the built-in "
        "name map.",
        show_default=False,
    ),
]
RuntimeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--runtime",
        metavar="SPEC",
        help=(
            "Target these runtime releases: vllm==0.20.0, 'sglang>=0.5.10', vllm; repeatable. "
            "`installed` queries the runtime in this Python, vllm@PYTHON the one in another."
        ),
        autocompletion=releases,
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
VerboseOption = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="List every finding instead of grouping similar ones."),
]
