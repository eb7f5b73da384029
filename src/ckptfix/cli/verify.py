"""`ckptfix verify`."""

from typing import Annotated, Literal

import typer

from ckptfix.cli.options import JsonOption, RuntimeOption, VerboseOption

DirectoryArgument = Annotated[
    str,
    typer.Argument(
        metavar="DIR",
        help="Checkpoint directory: the weights are read, so they have to be here.",
        show_default=False,
    ),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="cpu, cuda or cuda:1; without it CUDA if it can be had, else the CPU.",
        show_default=False,
    ),
]
ModulesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--modules",
        metavar="GLOB",
        help="Look at these only, in the runtime's or the checkpoint's names; repeatable.",
        show_default=False,
    ),
]
SampleOption = Annotated[
    int | None,
    typer.Option(
        "--sample",
        metavar="N",
        min=1,
        help="Run N GEMMs of every algorithm, shape and role; numbers are looked at in all.",
        show_default="1",
    ),
]
AllOption = Annotated[bool, typer.Option("--all", help="Run every GEMM.")]
TokensOption = Annotated[
    int, typer.Option("--tokens", metavar="N", min=1, max=65_536, help="Rows of the random input.")
]
BackendOption = Annotated[
    Literal["auto", "torch", "vllm", "flashinfer"],
    typer.Option(
        "--backend", help="Whose GEMMs to run; auto asks torch, then what else is installed."
    ),
]
SourceOption = Annotated[
    str | None,
    typer.Option(
        "--source",
        metavar="DIR",
        help="Unquantized checkpoint that this one was made from, to compare the weights with.",
        show_default=False,
    ),
]
PrefetchOption = Annotated[
    float,
    typer.Option(
        "--prefetch", metavar="GB", min=0, help="Read ahead so much beyond the largest module."
    ),
]


def verify(
    directory: DirectoryArgument,
    device: DeviceOption = None,
    runtime: RuntimeOption = None,
    modules: ModulesOption = None,
    sample: SampleOption = None,
    all_: AllOption = False,
    tokens: TokensOption = 16,
    backend: BackendOption = "auto",
    source: SourceOption = None,
    prefetch: PrefetchOption = 1.0,
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Read the weights and run the quantized GEMMs; nothing is written. Needs torch.

    Modules are joined as the first release of --runtime joins them, else as the newest known one.
    Each GEMM is held against an F32 reference of the stored tensors, and the numbers of every
    scale and weight are looked at. Exit code 0 if every quantized module resolves and agrees, 1 if
    one does not, 2 if it could not run. Several GPUs: torchrun --nproc-per-node 8 -m ckptfix verify
    DIR.

    Example: ckptfix verify ./Nemotron-Nano-VL-12B-V2-NVFP4 --device cuda --runtime vllm
    """
    from ckptfix.cli.verifying import VerifyFlags, run_verify

    flags = VerifyFlags(
        device=device,
        runtimes=tuple(runtime or ()),
        modules=tuple(modules or ()),
        sample=sample,
        all=all_,
        tokens=tokens,
        backend=backend,
        source=source,
        prefetch=int(prefetch * 1e9),
        json=json,
        verbose=verbose,
    )
    raise typer.Exit(run_verify(directory, flags))
