"""What a release takes from the metadata files: which object decides, and what it makes of it.

effective.py   the outcome: metadata as a release holds them, or why it stops
objects.py     JSON objects, read as the runtimes read them: what raises there is a stop here
releases.py    which release does what: a table
layer_maps.py  quantized_layers and lists of excluded modules, as statements
vllm.py        vLLM's way
sglang.py      SGLang's way

Both ways follow the runtimes' own code step by step, because what null, a string or a missing field
comes to is decided by the order of the steps. tests/cases and tests/truth hold them against what
the real runtimes did.
"""
