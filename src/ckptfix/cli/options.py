"""Options that several commands share.

Imports nothing but Typer: `--help` and `--version` pay for what stands here.
"""

from typing import Annotated

import typer

CheckpointArgument = Annotated[
    str,
    typer.Argument(
        metavar="CHECKPOINT",
        help="A directory, a repository of the Hub (org/name, org/name@revision, hf://..., "
        "https://huggingface.co/...), or any fsspec URL (s3://..., gs://...).",
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
    bool, typer.Option("--offline", help="Make no request: read what was fetched before.")
]
RefreshOption = Annotated[
    bool,
    typer.Option("--refresh", help="Ask the Hub even where a snapshot is in the local cache."),
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
        help="Ordered rules in a TOML file, before any --map. Replaces the built-in name map.",
        show_default=False,
    ),
]
RuntimeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--runtime",
        metavar="SPEC",
        help=(
            "Go by what these releases would resolve: vllm==0.20.0, 'sglang>=0.5.10', vllm; "
            "repeatable."
        ),
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="List every finding instead of groups of like ones.")
]
