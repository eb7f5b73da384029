"""Where the rows of an architecture come from, as the product keeps it."""

from typing import Any

from place_learner import drafts
from place_learner.tables import SPELLINGS, Result, is_whole
from place_learner.variants import OTHERS


def provenance(result: Result) -> dict[str, Any]:
    """What an architecture's rows were learned from."""
    loads = result["runs"][0]["loads"]
    is_draft = drafts.is_draft(result["architecture"])
    found = [kind for kind in SPELLINGS if kind in loads]
    whole = [kind for kind in found if is_whole(loads[kind], is_draft=is_draft)]
    spelled = next((kind for kind in (*whole, *loads) if loads[kind]["lands"]), "")
    return {
        "class_file": result["class_file"],
        "source": result["source"],
        "config": result["config_from"].replace("--", "/", 1),
        "guessed": result["guessed"],
        **({"needs": needed} if (needed := _needs(result)) else {}),
        **({"only_type": only} if (only := _only_type(result)) else {}),
        "names": {"own": "runtime", "": ""}.get(spelled, "library"),
        "single_pass": bool(whole),
        "heads": [] if is_draft else heads(result),
    }


def _needs(result: Result) -> list[str]:
    """Keys without a default, and those that choose between classes: their default is another."""
    chosen = {key for key in result.get("values", {}) if key.rpartition(".")[2] in OTHERS}
    return sorted({*result.get("needs", ()), *result.get("published", ()), *chosen})


def _only_type(result: Result) -> str:
    """The model_type it was built with, if a config of another type failed or was not tried.

    The published config of another architecture that the same class serves says nothing of whether
    the release knows the type that its own configs have.
    """
    if result["source"] == "invented":
        return ""
    own = result["config"].get("architectures", ()) if result["source"] == "real" else ()
    borrowed = bool(own) and result["architecture"] not in own
    failed = any(
        attempt.get("source") == "library" and attempt.get("config") != result["config_from"]
        for attempt in result.get("attempts", ())
        if attempt.get("config")
    )
    return str(result["config"].get("model_type", "")) if failed or borrowed else ""


def heads(result: Result) -> list[str]:
    """Names that output heads look up, of those that stand in every run of a class.

    The runs include the values of `tie_word_embeddings`, of which most classes of vLLM build the
    head in both cases.
    """
    runs = [
        {
            name
            for module in run["modules"]
            if module["kind"] == "head"
            for name in module["asked"] or ()
        }
        for run in result["runs"]
        if "modules" in run
    ]
    return sorted(set.intersection(*runs))
