"""Runtimes that are installed on this machine, asked about a checkpoint.

interpreter.py  which Python a user means, and which runtimes it has
process.py      the subprocess: started once, a question and an answer a line
targets.py      `installed` and `vllm@PYTHON` beside the releases that are recorded
script/         what the other Python runs; it imports nothing of ckptfix
"""
