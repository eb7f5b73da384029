"""Shell completion: rule codes, runtimes with their releases, architectures.

Imports nothing slow: `--help` and `--version` load this file.
"""


def rule_codes(incomplete: str) -> list[tuple[str, str]]:
    """Codes and their titles; in a comma-separated list, the last one is completed."""
    from ckptfix.rules.registry import RULES

    before, comma, last = incomplete.rpartition(",")
    return [
        (f"{before}{comma}{code}", rule.title)
        for code, rule in RULES.items()
        if code.startswith(last)
    ]


def releases(incomplete: str) -> list[str]:
    """Runtimes, and each with a known release."""
    from ckptfix.runtimes.profile_store import known_releases
    from ckptfix.runtimes.registry import known_runtimes

    names = known_runtimes()
    every = [*names, *(f"{name}=={v}" for name in names for v in reversed(known_releases(name)))]
    return [name for name in every if name.startswith(incomplete)]


def architectures(incomplete: str) -> list[str]:
    """Names that the newest release of some runtime registers."""
    from ckptfix.runtimes.profile_store import load_profile
    from ckptfix.runtimes.releases import newest_targets

    found = {
        name
        for target in newest_targets()
        for name in load_profile(target.runtime, target.version).architectures
        if name.startswith(incomplete)
    }
    return sorted(found)
