"""Serving a checkpoint without changing it: repaired metadata passed to the server as an argument.

vLLM and SGLang replace the value of a key of config.json by the one passed, and read the
quantization config from the result; hf_quant_config.json is only read if config.json has none.
Sources: vLLM 0.17.1 to 0.33.0 vllm/transformers_utils/config.py `get_config`, vllm/config/model.py
`_apply_dict_overrides`, vllm/model_executor/model_loader/weight_utils.py `get_quant_config`; SGLang
0.5.10.post1 to 0.5.23 sglang/srt/utils/hf_transformers_utils.py or .../hf_transformers/config.py
`get_config`, sglang/srt/configs/model_config.py `_parse_quant_hf_config`. The data type of the KV
cache follows from the same value (vLLM vllm/utils/torch_utils.py `resolve_kv_cache_dtype_string`,
SGLang `kv_cache_quant_algo` in sglang/srt/model_executor), so no other option is needed.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.dialects.statements import CONFIG_FILE, CONFIG_ROOT, config_root
from ckptfix.jsontext.text import JsonText
from ckptfix.operations.checked import ReleaseAnswer, answers_of
from ckptfix.rewriting.plan import FileChange
from ckptfix.rewriting.proved import ProvedPlan
from ckptfix.runtimes.common.layer_maps import HF_QUANT_FILE
from ckptfix.runtimes.loads import Answer
from ckptfix.runtimes.registry import runtime_named
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.verdict import judge_each

MOST_BYTES: Final = 131_071
"""Limit for one argument of a process on Linux (MAX_ARG_STRLEN, including the final NUL)."""


class Served(Struct, frozen=True):
    """How one release is started with a checkpoint as stored."""

    before: ReleaseAnswer
    """Its answer for the checkpoint alone."""
    after: ReleaseAnswer
    """Its answer with `override`."""
    override: str
    """JSON that replaces values of config.json; empty if none is needed, or none helps."""
    problem: str = ""
    """Why no override helps; empty if it loads."""

    @property
    def target(self) -> Target:
        """The release."""
        return self.before.target

    @property
    def loads(self) -> bool:
        """Whether the release loads the checkpoint when it is started so."""
        return not self.problem

    @property
    def flag(self) -> str:
        """The option of the server that takes the override."""
        return runtime_named(self.target.runtime).override_flag


def ways_to_serve(planned: ProvedPlan, targets: Iterable[Target]) -> tuple[Served, ...]:
    """How each release is started; each override is verified by checking the checkpoint with it.

    Args:
        planned: the rewrite that repairs the metadata.
        targets: the releases.
    """
    wanted = list(targets)
    before = answers_of(
        judge_each(planned.checkpoint, wanted), wanted, planned.plan.findings_before
    )
    values = () if planned.refused or planned.tensors else tuple(_values_to_pass(planned))
    if not values:
        return tuple(_as_it_is(answer, _why_not(planned)) for answer in before)
    made = [_with_override(planned, before, value) for value in values]
    return tuple(
        next((way for way in ways if way.loads), ways[0]) for ways in zip(*made, strict=True)
    )


def _with_override(
    planned: ProvedPlan, before: Sequence[ReleaseAnswer], value: dict[str, Any]
) -> tuple[Served, ...]:
    override = json.dumps({CONFIG_ROOT[0]: value}, separators=(",", ":"))
    targets = [answer.target for answer in before]
    verdicts = judge_each(_with_value(planned.checkpoint, value), targets)
    after = answers_of(verdicts, targets, planned.plan.findings_after)
    return tuple(_chosen(b, a, override) for b, a in zip(before, after, strict=True))


def can_be_passed(planned: ProvedPlan, now: Iterable[ReleaseAnswer]) -> bool:
    """True if an override would make a release load the checkpoint that does not load it now.

    Args:
        planned: the rewrite, of the folded checkpoint or of the whole one.
        now: what each release answers.
    """
    whole = planned.checkpoint.whole or planned.checkpoint
    if sum(len(document.data) for document in whole.documents.values()) > MOST_BYTES:
        return False
    failing = [answer.target for answer in now if answer.loads is not Answer.YES]
    return any(served.override for served in ways_to_serve(planned, failing))


def _as_it_is(answer: ReleaseAnswer, why_not: str) -> Served:
    loads = answer.loads is Answer.YES
    return Served(answer, answer, "", "" if loads else why_not or answer.answer.in_short)


def _chosen(before: ReleaseAnswer, after: ReleaseAnswer, override: str) -> Served:
    if before.loads is Answer.YES:
        return Served(before, before, "")
    if after.loads is not Answer.YES:
        return Served(before, after, "", after.answer.in_short)
    if len(override) > MOST_BYTES:
        return Served(before, after, "", "the override is longer than an argument may be")
    return Served(before, after, override)


def _why_not(planned: ProvedPlan) -> str:
    if planned.tensors:
        return "tensor names cannot be passed"
    if planned.refused:
        return "the rewrite is refused"
    if planned.plan.files and config_root(_config(planned.checkpoint)) not in (None, CONFIG_ROOT):
        return (
            "the metadata is not a top-level key of config.json, so no value can be passed for it"
        )
    return ""


def _config(checkpoint: Checkpoint) -> dict[str, Any]:
    document = checkpoint.documents.get(CONFIG_FILE)
    return document.value if document else {}


def _values_to_pass(planned: ProvedPlan) -> Iterator[dict[str, Any]]:
    """The quantization config after the rewrite, in each form; none if the server has it already.

    What only hf_quant_config.json declares is passed in the form of config.json if a release does
    not accept that of the file.
    """
    changes = {change.file: change for change in planned.plan.files}
    root = config_root(_config(planned.checkpoint))
    if CONFIG_FILE in changes:
        made = _parsed(changes[CONFIG_FILE]).get(CONFIG_ROOT[0])
        if isinstance(made, dict):
            yield made
    elif root is None and HF_QUANT_FILE in planned.checkpoint.documents:
        whole = planned.checkpoint.documents[HF_QUANT_FILE].value
        if HF_QUANT_FILE in changes:
            whole = _parsed(changes[HF_QUANT_FILE])
            yield whole
        inner = whole.get("quantization")
        if isinstance(inner, dict):
            excludes = inner.get("exclude_modules")
            ignore = {} if excludes is None else {"ignore": excludes}
            flat = {key: value for key, value in inner.items() if key != "exclude_modules"}
            yield {"quant_method": "modelopt", **flat, **ignore}


def _parsed(change: FileChange) -> dict[str, Any]:
    return JsonText.parse(change.file, change.after).value


def _with_value(checkpoint: Checkpoint, value: dict[str, Any]) -> Checkpoint:
    """The checkpoint as a server sees it with a value passed for the quantization config."""
    text = json.dumps(_config(checkpoint) | {CONFIG_ROOT[0]: value})
    document = JsonText.parse(CONFIG_FILE, text.encode("utf-8", "surrogatepass"))
    documents = {**checkpoint.documents, CONFIG_FILE: document}
    return replace(checkpoint, documents=documents)
