"""Runtimes that are installed on this machine, queried about a checkpoint.

interpreter.py  the Python that a user means, and its runtimes
process.py      the subprocess: started once, one question and one answer per line
targets.py      `installed` and `vllm@PYTHON` in addition to the recorded releases
script/         what the other Python runs; it does not import ckptfix
"""
