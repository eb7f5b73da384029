"""`ckptfix verify`."""

from typing import Annotated, Literal

import typer

from ckptfix.cli.options import JsonOption, RuntimeOption, VerboseOption

DirectoryArgument = Annotated[
    str,
    typer.Argument(
        metavar="DIR",
        help="Checkpoint directory. The weights are read, so they must be local.",
        show_default=False,
    ),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="cpu, cuda or cuda:N. Default: CUDA if available, otherwise the CPU.",
        show_default=False,
    ),
]
ModulesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--modules",
        metavar="GLOB",
        help="Verify only matching modules, as the runtime or the checkpoint spells them; "
        "repeatable.",
        show_default=False,
    ),
]
SampleOption = Annotated[
    int | None,
    typer.Option(
        "--sample",
        metavar="N",
        min=1,
        help="Run N GEMMs per algorithm, shape and role; values are checked for every module.",
        show_default="1",
    ),
]
AllOption = Annotated[bool, typer.Option("--all", help="Run every GEMM.")]
TokensOption = Annotated[
    int,
    typer.Option(
        "--tokens", metavar="N", min=1, max=65_536, help="Number of rows of the random input."
    ),
]
BackendOption = Annotated[
    Literal["auto", "torch", "vllm", "flashinfer"],
    typer.Option(
        "--backend", help="GEMM backend; auto tries torch first, then any other installed backend."
    ),
]
SourceOption = Annotated[
    str | None,
    typer.Option(
        "--source",
        metavar="DIR",
        help="Original unquantized checkpoint; its weights are compared with the dequantized ones.",
        show_default=False,
    ),
]
PrefetchOption = Annotated[
    float,
    typer.Option(
        "--prefetch", metavar="GB", min=0, help="Read ahead of the current module by this much."
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
    """Read the weights and run the quantized GEMMs; writes nothing. Needs torch.

    Modules are fused as in the first release given with --runtime, by default as in the newest
    known one. Each GEMM is compared with an F32 reference of the stored tensors, and the values of
    every scale and weight are checked. Exit code 0 if every quantized module resolves and agrees,
    1 if one does not, 2 if it could not run. On several GPUs: torchrun --nproc-per-node 8 -m
    ckptfix verify DIR.

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
