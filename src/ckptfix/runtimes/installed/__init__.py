"""Releases that are queried instead of looked up: a runtime that is installed on this machine.

    answer.py   what `ckptfix.installed` returns, as reported by the runtime
    reading.py  the same by module: where it is built, and what happens to its tensors
    verdict.py  from that to the verdict that every other release gets

Nothing here starts a process: a target contains the function that does (`answer.Installed`).
"""
