import pytest

from ckptfix.runtimes.effective import effective_metadata
from tests.conftest import DATA, load


@pytest.mark.parametrize(
    ("name", "file", "entries"),
    [
        ("nanovl-mixed", "config.json", 12),
        # quantized_layers came to config.json with ModelOpt 0.43; before, only a bare label.
        ("old-0.23.0-llama-mixed", "hf_quant_config.json", 0),
        ("llama-fp8-kv8", "config.json", 0),
    ],
)
def test_the_file_that_a_runtime_goes_by(name: str, file: str, entries: int) -> None:
    metadata = effective_metadata(load(DATA / name).metadata)
    assert metadata is not None
    assert metadata.file == file
    assert len(metadata.entries) == entries


def test_a_mixed_config_without_a_map_leaves_it_to_the_other_file() -> None:
    checkpoint = load(DATA / "nanovl-mixed")
    config, hf_quant = checkpoint.metadata
    bare = type(config)(
        config.file, config.root, config.quant_algo, None, None, config.producer, ()
    )
    metadata = effective_metadata((bare, hf_quant))
    assert metadata is not None
    assert metadata.file == "hf_quant_config.json"
    assert metadata.is_mixed
    assert effective_metadata(()) is None
