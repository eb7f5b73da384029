"""What the config classes of transformers make of config.json, before a layer is built.

From release 5 on their fields are typed: a null or a string in the wrong place stops the runtime. A
key that is missing has the default of the class. `tools/record_config_classes.py` wrote the files
here, one for each release of transformers; a runtime has some classes of its own.
"""

from ckptfix.runtimes.config_classes.fixed_types import always_reads_as
from ckptfix.runtimes.config_classes.flat import flattened
from ckptfix.runtimes.config_classes.language import (
    LOOKED_FOR,
    StrayConfig,
    second_language_config,
    stray_language_config,
)
from ckptfix.runtimes.config_classes.record import (
    ConfigClass,
    ConfigClassesRow,
    class_for,
    needs_model_type,
    values_by_path,
)
from ckptfix.runtimes.config_classes.types import foreign_type, has_own_code, unknown_type

__all__ = [
    "LOOKED_FOR",
    "ConfigClass",
    "ConfigClassesRow",
    "StrayConfig",
    "always_reads_as",
    "class_for",
    "flattened",
    "foreign_type",
    "has_own_code",
    "needs_model_type",
    "second_language_config",
    "stray_language_config",
    "unknown_type",
    "values_by_path",
]
