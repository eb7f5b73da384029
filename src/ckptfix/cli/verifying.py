"""`ckptfix verify`: from flags to the operation, and its output."""

import sys

from msgspec import Struct

from ckptfix.cli.listening import listening
from ckptfix.errors import CkptfixError
from ckptfix.installed.targets import targets_of
from ckptfix.operations.verify import VerifyRequest, verify_directory
from ckptfix.report.console import show, write_plain
from ckptfix.report.spelling import spelled_verify
from ckptfix.report.verify_json import verify_json
from ckptfix.report.verify_text import verify_text


class VerifyFlags(Struct, frozen=True, kw_only=True):
    """Values from the command line."""

    device: str | None = None
    runtimes: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    sample: int | None = None
    all: bool = False
    tokens: int = 16
    backend: str = "auto"
    source: str | None = None
    prefetch: int = 10**9
    json: bool = False
    verbose: bool = False

    def request(self) -> VerifyRequest:
        """What to verify.

        Raises:
            CkptfixError: flags that contradict each other, or an invalid runtime.
        """
        if self.all and self.sample is not None:
            raise CkptfixError("--all cannot be used with --sample")
        return VerifyRequest(
            self.device,
            targets_of(self.runtimes),
            self.modules,
            None if self.all else self.sample or 1,
            self.tokens,
            self.backend,
            self.source,
            self.prefetch,
        )


def run_verify(directory: str, flags: VerifyFlags) -> int:
    """Verify and report; the exit code.

    Raises:
        CkptfixError: torch or the device is missing, a file cannot be read, nothing to verify.
    """
    request = flags.request()
    with listening() as listener:
        report = verify_directory(directory, request, listener)
    if report is None:
        return 0
    report = spelled_verify(report)
    if flags.json:
        write_plain(verify_json(report), sys.stdout)
    else:
        show(verify_text(report, verbose=flags.verbose), sys.stdout)
    return report.exit_code
