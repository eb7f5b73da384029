"""Releases that are asked instead of looked up: the runtime that is installed on this machine.

    answer.py   what `ckptfix.installed` brings back, as it comes from the runtime
    reading.py  the same by module: where it is built, and what its tensors met there
    verdict.py  from that to the verdict that every other release gets

Nothing here starts a process: a target carries the function that does (`answer.Installed`).
"""
