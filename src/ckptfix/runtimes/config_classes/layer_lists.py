"""Lists with the kind of every layer, which config classes of transformers 5 check.

Source: transformers 5.19.0, transformers/configuration_utils.py `validate_layer_type`.
"""

from collections.abc import Collection

from ckptfix.text import visible


def wrong_list(kinds: object, known: Collection[str], number: object) -> str:
    """What a class refuses a value for; empty if it takes it, or its type decides.

    Args:
        kinds: the value.
        known: the kinds that the class knows.
        number: of layers, if that is known.
    """
    if not isinstance(kinds, list):
        return "string" if isinstance(kinds, str) and kinds else ""
    odd = [kind for kind in kinds if not isinstance(kind, str) or kind not in known]
    if odd:
        return f"a list with {visible(str(odd[0])) or 'an empty string'}"
    if isinstance(number, int) and len(kinds) != number:
        return f"a list of {len(kinds):,} for {number:,} layers"
    return ""
