"""Lists with the kind of every layer, which config classes of transformers 5 check.

Source: transformers 5.19.0, transformers/configuration_utils.py `validate_layer_type`.
"""

from collections.abc import Collection, Sequence

from ckptfix.text import visible


def wrong_list(kinds: object, known: Collection[str], lengths: Sequence[int]) -> str:
    """What a class refuses a value for; empty if it takes it, or its type decides.

    Args:
        kinds: the value.
        known: the kinds that the class knows.
        lengths: that it may have, the number of layers first; empty if that is not known.
    """
    if not isinstance(kinds, list):
        return "string" if isinstance(kinds, str) and kinds else ""
    odd = [kind for kind in kinds if not isinstance(kind, str) or kind not in known]
    if odd:
        return f"a list with {visible(str(odd[0])) or 'an empty string'}"
    if lengths and len(kinds) not in lengths:
        return f"a list of {len(kinds):,} for {lengths[0]:,} layers"
    return ""
