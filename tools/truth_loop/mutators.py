"""Ways to break a checkpoint that `../shared/oracle/truth/mutate.py` does not have.

That script breaks the quantization metadata; these break what surrounds them. The correct answer is
for the runtimes to say.
"""

import copy
import json
import random
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

from truth_loop import break_config, break_settings, break_tensors
from truth_loop.case import CONFIG, HF_QUANT, Case, tensors_in
from truth_loop.draft import Draft, Mutator

MUTATORS: Final[tuple[Mutator, ...]] = (
    *(
        break_tensors.drop_module,
        break_tensors.drop_module,
        break_tensors.drop_norm,
        break_tensors.drop_tensor,
        break_tensors.drop_tensor,
        break_tensors.drop_kind,
        break_tensors.drop_layer,
    ),
    *(
        break_tensors.drop_expert,
        break_tensors.prefix,
        break_tensors.prefix,
        break_tensors.part,
        break_tensors.part,
        break_tensors.stray,
        break_tensors.stray,
        break_tensors.copy_layer,
        break_tensors.dtype,
        break_tensors.shape,
        break_tensors.shape,
    ),
    *(
        break_settings.count,
        break_settings.size,
        break_settings.size,
        break_settings.switch,
        break_settings.switch,
        break_settings.layer_kinds,
        break_settings.foreign_file,
        break_settings.quant_key,
        break_settings.quant_key,
        break_config.config_value,
        break_config.config_value,
        break_config.config_value,
    ),
)


def cases(
    seed: int,
    fixtures: Path,
    *,
    number: int,
    whole: Collection[str] = (),
    mutators: Sequence[Mutator] = MUTATORS,
    prefix: str = "own",
) -> Iterator[Case]:
    """Fixtures, each broken in one way or two.

    Args:
        seed: of the random choices.
        fixtures: folder of the fixtures.
        number: of cases.
        whole: fixtures to take; empty for all. One that does not load as it is tells little.
        mutators: the ways to break them.
        prefix: what the ids of the cases begin with.
    """
    rng = random.Random(seed)
    sources = sorted(p for p in fixtures.iterdir() if (p / CONFIG).exists())
    stored = {path: tensors_in(path) for path in sources}
    sources = [p for p in sources if stored[p] and (not whole or p.name in whole)]
    made = 0
    while made < number:
        path = rng.choice(sources)
        config = json.loads((path / CONFIG).read_text())
        draft = Draft(rng, copy.deepcopy(config), stored[path])
        how: list[str] = []
        for mutator in rng.sample(mutators, rng.choice([1, 1, 1, 2])):
            done = mutator(draft)
            how += [f"{mutator.__name__}: {done}"] if done else []
        edits = draft.edits()
        if not how or (draft.config == config and not edits and not draft.files):
            continue
        hf_quant = path / HF_QUANT
        yield Case(
            f"{prefix}-{seed}-{made:04}",
            path.name,
            tuple(how),
            json.dumps(draft.config, indent=2),
            hf_quant.read_text() if hf_quant.exists() else None,
            edits,
            draft.files,
        )
        made += 1
