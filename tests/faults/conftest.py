"""The fault matrix, in the terminal summary."""

from collections.abc import Iterator
from typing import Any

from tests.faults.faulty import FAULTS


def matrix() -> Iterator[str]:
    """Calls that failed, and how often each fault was tried and held."""
    from tests.faults.test_faults import TRIED

    first = max(len(command) for command, _, _ in TRIED)
    second = max(len(call) for _, call, _ in TRIED)
    yield f"{'command':<{first}} {'call':<{second}}" + "".join(f"{fault:>8}" for fault in FAULTS)
    for command, call in dict.fromkeys((command, call) for command, call, _ in TRIED):
        numbers = [TRIED[command, call, fault] or "-" for fault in FAULTS]
        yield f"{command:<{first}} {call:<{second}}" + "".join(f"{number:>8}" for number in numbers)
    yield f"{sum(TRIED.values()):,} faults"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    from tests.faults.test_faults import TRIED

    if TRIED:
        terminalreporter.section("faults tried, and held")
        for text in matrix():
            terminalreporter.write_line(text)
