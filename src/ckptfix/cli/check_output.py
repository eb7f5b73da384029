"""Which report `check` prints."""

from ckptfix.errors import CkptfixError
from ckptfix.report.formats import Render, renderer


def chosen_output(
    format_: str | None,
    *,
    json: bool,
    from_file: bool,
    verbose: bool,
    quiet: bool,
    statistics: bool,
) -> tuple[str, Render]:
    """The format, and the function that renders it.

    Raises:
        CkptfixError: flags that contradict each other.
    """
    if json and format_ not in (None, "json"):
        raise CkptfixError(f"--json cannot be used with --format {format_}")
    for option, given in (("--quiet", quiet), ("--statistics", statistics)):
        if given and (json or format_ not in (None, "text")):
            raise CkptfixError(f"{option} cannot be used with --json or another --format")
    lengths = {"--verbose": verbose, "--quiet": quiet, "--statistics": statistics}
    first, *others = [option for option, given in lengths.items() if given] or [""]
    if others:
        raise CkptfixError(f"{first} cannot be used with {others[0]}")
    if quiet or statistics:
        from ckptfix.report.check_brief import quiet_lines, statistics_blocks

        return "text", quiet_lines if quiet else statistics_blocks
    name = format_ or ("text" if not json else "jsonl" if from_file else "json")
    return name, renderer(name)
