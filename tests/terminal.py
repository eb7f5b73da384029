"""A pseudo terminal of which nothing gets lost."""

import os
import subprocess
from select import select


def read_all(
    ours: int, theirs: int, process: "subprocess.Popen[str] | subprocess.Popen[bytes]"
) -> str:
    """What a process writes to a terminal; closes both ends.

    The other end stays open until the process has ended: when the last one is closed, Linux may
    drop what has not been read.

    Args:
        ours: the end to read from.
        theirs: the end that the process writes to.
        process: as started.
    """
    shown = b""
    while True:
        has_ended = process.poll() is not None
        if select([ours], [], [], 0.1)[0]:
            shown += os.read(ours, 65536)
        elif has_ended:
            break
    os.close(theirs)
    os.close(ours)
    return shown.decode()
