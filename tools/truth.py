"""Break fixtures at random, let real runtimes judge, and compare with what `check` answers.

    tools/truth.py SEED [--cases N] [--own N] [--exports N] [--published N] [--work DIR] [--record]
        [--only RELEASE]

`../shared/oracle/truth/mutate.py` breaks quantization metadata (`--cases`),
`truth_loop/mutators.py` what surrounds them (`--own`), `truth_loop/break_config.py` config.json of
published releases, made small (`--published`; none of these is recorded). Prints a table of what
`check` answered against what the real vLLM and SGLang of `../shared/oracle` did, then every
disagreement and the smallest case that still shows it.
The repairs that `check` announces for other quantizers' exports, broken or not, are carried out and
judged too (`truth_loop/repairs.py`).
`--record` writes all cases to `tests/data/truth`, where `make test` replays them without an oracle.
Exit code 0 without disagreements, 1 with some, 2 if a judge failed; without the oracle it says so
and ends in 0. A run that was cut off goes on in the same `--work`.
"""

import argparse
import gzip
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from truth_loop import break_config, break_quantizers, repairs, shrunk
from truth_loop.case import CONFIG, HF_QUANT, Case
from truth_loop.comparison import Comparison, answer_all, table
from truth_loop.judges import (
    EXPORTS,
    FIXTURES,
    JUDGES,
    PYTHON,
    ROOT,
    SCRIPTS,
    SMALL,
    Judge,
    JudgeError,
    home_of,
    judge,
)
from truth_loop.mutators import cases as own_cases
from truth_loop.smallest import changes, smallest

PUBLISHED: Final = "published"
"""Cases of these are other people's files: none is recorded."""
RECORDS: Final = ROOT / "tests" / "data" / "truth"


def mutated(seed: int, number: int, work: Path) -> Iterator[Case]:
    """Cases of `mutate.py`.

    Raises:
        JudgeError: the script failed.
    """
    listed = work / f"mutate-{seed}.list"
    command: list[str | Path] = [
        sys.executable,
        SCRIPTS / "mutate.py",
        str(seed),
        str(number),
        FIXTURES,
    ]
    done = subprocess.run([*command, work / f"mutate-{seed}", listed], check=False)
    if done.returncode:
        raise JudgeError("mutate.py failed")
    for line in map(json.loads, Path(f"{listed}.meta").read_text().splitlines()):
        directory = Path(line["dir"])
        config, hf_quant = (_text(directory / file) for file in (CONFIG, HF_QUANT))
        yield Case(directory.name, line["from"], tuple(line["mut"]), config, hf_quant)


def _text(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def compare(
    cases: Sequence[Case], work: Path, *, name: str, judges: Sequence[Judge]
) -> list[Comparison]:
    """Every case on every release.

    Raises:
        JudgeError: a judge failed.
    """
    folder = work / name
    written = [(case, folder / case.id) for case in cases]
    for case, path in written:
        if not path.exists():
            case.write(home_of(case.origin), path)
    answers = list(answer_all(cases))
    compared = []
    for runtime in judges:
        judged = judge(written, work, name=name, runtime=runtime)
        compared += [
            Comparison(case, runtime.release, judged[case.id], answered[runtime.release])
            for case, answered in zip(cases, answers, strict=True)
            if case.id in judged
        ]
    return compared


def reduced(wrong: Comparison, work: Path) -> Case:
    """The smallest case of a disagreement."""
    runtime = next(j for j in JUDGES if j.release == wrong.release)
    rounds = iter(range(1000))

    def disagree(tried: Sequence[Case]) -> Sequence[bool]:
        name = f"{wrong.case.id}-{runtime.release}-{next(rounds)}"
        found = {c.case.id: c for c in compare(tried, work, name=name, judges=[runtime])}
        return [
            case.id in found
            and found[case.id].judged.loads == wrong.judged.loads
            and found[case.id].answered.answer == wrong.answered.answer
            for case in tried
        ]

    return smallest(wrong.case, disagree, fixtures=home_of(wrong.case.origin))


def whole() -> frozenset[str]:
    """Fixtures that a runtime was seen to load as they are."""
    lines = [
        json.loads(text)
        for path in RECORDS.glob("*-untouched.jsonl.gz")
        for text in gzip.decompress(path.read_bytes()).decode().splitlines()
    ]
    return frozenset(line["from"] for line in lines if line["loads"])


def record(compared: Sequence[Comparison], seed: int, *, of: str = "seed") -> None:
    """Write the cases for `tests/truth`.

    Args:
        compared: what the runtimes did.
        seed: of the cases.
        of: what the names of the files say before it.
    """
    for release in {c.release for c in compared}:
        lines = [json.dumps(c.as_line()) + "\n" for c in compared if c.release == release]
        path = RECORDS / f"{release.replace('==', '-')}-{of}-{seed}.jsonl.gz"
        path.write_bytes(gzip.compress("".join(lines).encode(), mtime=0))


def main() -> int:
    """Run the loop once."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("seed", type=int)
    parser.add_argument("--cases", type=int, default=150, help="of mutate.py (150)")
    parser.add_argument("--own", type=int, default=150, help="of truth_loop/mutators.py (150)")
    parser.add_argument("--exports", type=int, default=150, help="of other quantizers (150)")
    parser.add_argument("--published", type=int, default=0, help="of small published releases (0)")
    parser.add_argument("--work", type=Path, help="folder to keep (a new one in /tmp)")
    parser.add_argument("--record", action="store_true", help="write the cases to tests/data/truth")
    parser.add_argument("--only", help="one release, as vllm==0.33.0")
    asked = parser.parse_args()
    if not PYTHON.exists() or not SCRIPTS.is_dir():
        print("the oracle is not set up: ../shared/oracle/setup.sh")
        return 0
    work = (asked.work or Path(f"/tmp/ckptfix-truth-{asked.seed}")).absolute()
    work.mkdir(parents=True, exist_ok=True)
    judges = [j for j in JUDGES if asked.only in (None, j.release)]
    cases = [*mutated(asked.seed, asked.cases, work)] if asked.cases else []
    cases += own_cases(asked.seed, FIXTURES, number=asked.own, whole=whole())
    exports = own_cases(
        asked.seed,
        EXPORTS,
        number=asked.exports,
        mutators=break_quantizers.MUTATORS,
        prefix="exports",
    )
    broken = [*exports]
    if asked.published:
        shrunk.make(SMALL)
        cases += own_cases(
            asked.seed,
            SMALL,
            number=asked.published,
            mutators=break_config.MUTATORS,
            prefix=PUBLISHED,
        )
    compared = compare([*cases, *broken], work, name="cases", judges=judges)
    made = repairs.announced([*repairs.untouched(EXPORTS), *broken]) if broken else []
    mended = [*repairs.judged(made, work, judges=judges)]
    if asked.record:
        record([c for c in compared if not c.case.id.startswith(PUBLISHED)], asked.seed)
        record(mended, asked.seed, of="repairs-seed")
    print(table(compared))
    print(repairs.summary(made, mended))
    compared += mended
    wrong = [c for c in compared if not c.agrees]
    for comparison in wrong:
        print(f"\n{comparison}")
        least = reduced(comparison, work)
        print(f"  smallest: {json.dumps(changes(least, home_of(least.origin)))}")
    print(f"\n{len(wrong)} disagreements in {len(compared)} verdicts")
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except JudgeError as failed:
        print(failed, file=sys.stderr)
        sys.exit(2)
