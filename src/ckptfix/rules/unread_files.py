"""CKF5xx: metadata files that cannot be read."""

from collections.abc import Iterable
from typing import Final

from ckptfix.rules.context import Context
from ckptfix.rules.finding import Family, Finding, Severity

FAMILY: Final = Family("CKF5", "files and index")


@FAMILY.rule(
    "CKF509",
    "metadata file is not readable",
    Severity.WARNING,
    why=(
        "vLLM and SGLang do not open it, as config.json declares how the model is quantized. A "
        "tool that does, as TensorRT-LLM opens hf_quant_config.json, stops."
    ),
    fix="Remove the file, or download or export it again.",
    since="0.2.0",
    example="""
    model.safetensors
      layers.0.mlp.up_proj stored as FP8
    config.json /quantization_config
      "quant_method": "modelopt",
      "quant_algo": "FP8"
    hf_quant_config.json
    - null
    """,
)
def unread_file(context: Context) -> Iterable[Finding]:
    """Files that hold something else than a JSON object, beside a config.json that decides."""
    for file in context.checkpoint.unread:
        yield context.finding(
            subject=file.place.file,
            message=f"{file.problem}; the runtimes use config.json and do not open it",
            place=file.place,
            advice="remove it, or download or export it again",
        )
