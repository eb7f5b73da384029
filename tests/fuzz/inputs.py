"""Strategies: whole files of hostile bytes, made from nothing, from structure, or from a seed."""

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

TEXTS = (
    "", ".", "..", "*", "?", "[", "[!]", "re:", "re:[", "re:(a+)+b", "re:.*", "(a+)+b", "*a*a*a*b*",
    "Linear", "lm_head", "model.layers.0.mlp.down_proj", "language_model.backbone.layers.0.mixer",
    "layers." * 40, "a" * 3_000, "." * 300, "experts.9999999999999999999999.w1", "x.experts.٣.w1",
    "\x00", "a\nb", "a\r", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x9b2J", "\x7f", "\u202egpj",
    "\u2028", "\ud800", "\udfff\ud800", "\U0010ffff", "[bold red]x[/]", ":smile:",
    "%0A::error::x", "::add-mask::x", " ::error::", "##[error]x", "##vso[task.complete]x",
    "##teamcity[buildStop]", "section_start:1:x\r\x1b[0K", "]]>", "<&\"'>", "../../etc/passwd",
    "/etc/passwd", "a/../b", "NaN", "FP8", "NVFP4", "fp8_pb_wo", "MIXED_PRECISION", "modelopt",
    "W4A16_AWQ", ".".join("a" * 400), "model.layers.0." * 60, ".".join("*" * 200),
    "experts.0." * 90, "\N{COMBINING ACUTE ACCENT}", "ﬀ", "İ", "ß",
)  # fmt: skip
KEYS = (
    "quantization_config", "quantization", "quantized_layers", "quant_algo", "group_size", "ignore",
    "exclude_modules", "config_groups", "group_0", "targets", "weights", "num_bits", "type",
    "kv_cache_scheme", "kv_cache_quant_algo", "producer", "name", "version", "quant_method",
    "quant_library", "architectures", "text_config", "llm_config", "tie_word_embeddings",
    "num_hidden_layers", "num_nextn_predict_layers", "weight_map", "metadata", "total_size",
    "__metadata__", "dtype", "shape", "data_offsets", "rules", "kind", "old", "new", "drop",
)  # fmt: skip
NUMBERS = (
    0, -1, 1, 2, 16, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63), 10**400, 1e308, 0.1,
    float("nan"), float("inf"), -0.0,
)  # fmt: skip

texts = st.sampled_from(TEXTS) | st.text(max_size=30)
keys = st.sampled_from(KEYS) | texts
scalars = st.none() | st.booleans() | st.sampled_from(NUMBERS) | st.integers() | st.floats() | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


def _containers(value: Any) -> list[Any]:
    found = []
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, (dict, list)):
            found.append(item)
            waiting += item.values() if isinstance(item, dict) else item
    return found


@st.composite
def altered(draw: st.DrawFn, text: str) -> Any:
    """A JSON value with a few places replaced, removed or added."""
    value = json.loads(text)
    for _ in range(draw(st.integers(1, 4))):
        container = draw(st.sampled_from(_containers(value) or [{}]))
        place: Any
        if isinstance(container, dict):
            place = draw(st.sampled_from(sorted(container)) | keys if container else keys)
            if draw(st.integers(0, 4)) == 0:
                container.pop(place, None)
            elif draw(st.booleans()) and place in container:
                container[draw(keys)] = container.pop(place)
            else:
                container[place] = draw(values)
        else:
            container.insert(draw(st.integers(0, len(container))), draw(values))
    return value


@st.composite
def _json_bytes(draw: st.DrawFn, text: str) -> bytes:
    made = json.dumps(
        draw(altered(text) | values),
        ensure_ascii=draw(st.booleans()),
        indent=draw(st.sampled_from([None, 2, "\t"])),
    )
    if draw(st.integers(0, 9)) == 0:
        key = json.dumps(draw(keys))
        made = made.replace("{", f"{{{key}: 1, {key}: 2,", 1)
    if draw(st.integers(0, 9)) == 0:
        made = made.replace("\n", "\r\n")
    encoding = draw(st.sampled_from(["utf-8"] * 8 + ["utf-8-sig", "utf-16", "utf-32", "latin-1"]))
    return made.encode(encoding, "surrogatepass" if "utf" in encoding else "backslashreplace")


PIECES = (
    b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"\\u0000", b"\\ud800", b"\x00", b"\xff",
    b"\n", b"\xef\xbb\xbf", b"\r\n", b"NaN", b"-Infinity", b"1e999", b"-1", b"9" * 5_000,
    b"null", b"true", b"[" * 2_000, b'{"a":' * 2_000, b"18446744073709551616", b"\x1b[2J", b"#",
    b"=", b"'''", b"a" * 99, b"re:(x+x+)+y", b"\xc2\x9b", b"\xe2\x80\xae",
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """A seed with pieces put in, taken out, doubled or overwritten."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from([0, 1, 2, 8, 100])))
        piece = draw(st.sampled_from(PIECES) | st.binary(max_size=8) | st.just(data[start:end] * 2))
        data = data[:start] + piece + data[end:]
    return data


def json_files(seeds: Sequence[bytes], text: str) -> st.SearchStrategy[bytes]:
    """Files that are JSON, nearly JSON, or not at all."""
    return mutated(seeds) | _json_bytes(text) | st.binary(max_size=60)


def text_files(seeds: Sequence[bytes], lines: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    """Files of lines."""
    made = st.lists(lines, max_size=8).map(
        lambda found: "\n".join(found).encode("utf-8", "replace")
    )
    return mutated(seeds) | made | st.binary(max_size=60)


MAGIC_LENGTHS = (
    0x0280, 0x0380, 0x0480, 0x0580, 0x10380, 0x630280, 0x8B1F, 0x088B1F, 0x04034B50,
    int.from_bytes(b"GGUF", "little"), int.from_bytes(b"<!DOCTYP", "little"),
    int.from_bytes(b"version ", "little"), int.from_bytes(b'{"a": 1}', "little"),
)  # fmt: skip
"""Header lengths that are the first bytes of a pickle, a gzip or zip archive, GGUF or a text."""
_MOST_PADDING = 1 << 17


@st.composite
def _shard(draw: st.DrawFn, header: bytes) -> bytes:
    data = bytes(draw(st.integers(0, 4_096)))
    if draw(st.integers(0, 3)) == 0:  # padded with blanks, as writers do
        length = draw(st.sampled_from(MAGIC_LENGTHS))
        return length.to_bytes(8, "little") + header.ljust(min(length, _MOST_PADDING)) + data
    length = draw(
        st.just(len(header))
        | st.sampled_from([0, 1, 2**31, 100_000_001, 2**63 - 1, 2**63, 2**64 - 1])
        | st.integers(0, len(header) + 9)
    )
    return length.to_bytes(8, "little") + header + data


rows = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["F32", "F8_E4M3", "BF16", "U8", "F4", "BOOL", "Q4"]) | scalars,
        "shape": st.lists(st.sampled_from([0, 1, 2, 16, 32, -1, 2**31, 2**63, 2**64]), max_size=6)
        | values,
        "data_offsets": st.lists(st.sampled_from([0, 1, 4, 64, -4, 2**63, 2**64]), max_size=3)
        | values,
    },
)


def shard_files(seeds: Sequence[bytes], text: str) -> st.SearchStrategy[bytes]:
    """Safetensors files with a header that is hostile, or cut, or of the wrong length."""
    names = texts | texts.map(lambda name: f"{name}.weight")
    structured = st.dictionaries(names, rows, max_size=5).map(lambda v: json.dumps(v).encode())
    return (
        mutated(seeds) | (structured | _json_bytes(text)).flatmap(_shard) | st.binary(max_size=60)
    )
