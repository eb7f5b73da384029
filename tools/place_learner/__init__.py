"""Learns from a runtime's model classes where tensors end, and what layers ask for.

Everything but `masks`, `tables`, `writer` and `release` runs in an environment of its own (see
`setup.sh`), where torch and the Python files of the runtime are; nothing of it is imported by
`ckptfix`.
"""
