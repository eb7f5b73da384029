"""Mutations of shard files and index against each other."""

from random import Random

from tests.mutations.editable import INDEX, Editable
from tests.mutations.kind import STOPS, kind, pick


@kind("CKF502")
def index_places_a_tensor_elsewhere(files: Editable, random: Random) -> str | None:
    name = pick(random, list(files.weight_map))
    others = sorted(set(files.shards) - {files.weight_map.get(name or "", "")})
    if name is None or not others:
        return None
    files.weight_map[name] = random.choice(others)
    return name


@kind("CKF507")
def index_forgets_a_tensor(files: Editable, random: Random) -> str | None:
    if (name := pick(random, list(files.weight_map))) is None:
        return None
    del files.weight_map[name]
    return name


@kind("CKF502")
def index_names_a_tensor_of_no_file(files: Editable, random: Random) -> str | None:
    if (name := pick(random, list(files.weight_map))) is None:
        return None
    files.weight_map[f"{name}_old"] = files.weight_map[name]
    return f"{name}_old"


@kind("CKF503")
def index_has_another_total_size(files: Editable, _random: Random) -> str | None:
    if "total_size" not in files.documents.get(INDEX, {}).get("metadata", {}):
        return None
    files.documents[INDEX]["metadata"]["total_size"] += 64
    return ""


@kind("CKF504")
def shard_file_is_not_in_the_index(files: Editable, random: Random) -> str | None:
    if not files.weight_map or (file := pick(random, list(files.shards))) is None:
        return None
    for name in [n for n, f in files.weight_map.items() if f == file]:
        del files.weight_map[name]
    return file


@kind("CKF505")
def index_is_gone(files: Editable, _random: Random) -> str | None:
    return "" if files.documents.pop(INDEX, None) and len(files.shards) > 1 else None


@kind(f"{STOPS} CKF502")
def shard_file_is_gone(files: Editable, random: Random) -> str | None:
    if not files.weight_map or (file := pick(random, list(files.shards))) is None:
        return None
    del files.shards[file]
    return file


@kind(STOPS)
def shard_file_ends_early(files: Editable, random: Random) -> str | None:
    full = [file for file, tensors in files.shards.items() if tensors]
    if (file := pick(random, full)) is None:
        return None
    files.cut[file] = 8
    return file


def _moved(files: Editable, random: Random, first: int, last: int) -> str | None:
    """Shift the data_offsets of a tensor that is neither first nor last in its file."""
    places = [(file, n) for file, tensors in files.shards.items() for n in list(tensors)[1:-1]]
    places = [(f, n) for f, n in places if len(files.shards[f][n].data) > 8]
    if not places:
        return None
    place = random.choice(places)
    files.moved[place] = (first, last)
    return place[1]


@kind(STOPS)
def offsets_are_shifted(files: Editable, random: Random) -> str | None:
    return _moved(files, random, 8, 8)


@kind(STOPS)
def offsets_overlap(files: Editable, random: Random) -> str | None:
    return _moved(files, random, -1, 0)


@kind(STOPS)
def offsets_leave_a_hole(files: Editable, random: Random) -> str | None:
    return _moved(files, random, 0, -1)


@kind(STOPS)
def offsets_reach_past_the_end(files: Editable, random: Random) -> str | None:
    return _moved(files, random, 1 << 40, 1 << 40)


@kind("CKF502")
def tensor_stands_in_two_files(files: Editable, random: Random) -> str | None:
    if len(files.shards) < 2 or (name := pick(random, list(files.tensors))) is None:
        return None
    other = next(f for f in sorted(files.shards) if f != files.file_of(name))
    files.shards[other][name] = files.tensors[name]
    return name
