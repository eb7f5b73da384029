"""Learns from a runtime's model classes where tensors end, and what layers look up.

Everything but `masks`, `tables`, `writer` and `release` runs in a separate environment (see
`setup.sh`), where torch and the Python files of the runtime are; nothing of it is imported by
`ckptfix`.
"""
