"""What the recorders of both runtimes have in common: every layer is left unquantized."""

import inspect
from pathlib import Path
from typing import Any, Final

RECORDER: Final = "learn_recorder"


class NoteTaker:
    """The methods that the base classes of both runtimes' quantization configs demand.

    A recorder inherits from this first and from the runtime's own base class next.
    """

    called: list[str]
    """One name: that which it gives itself."""
    dtypes: tuple[Any, ...]

    def get_name(self) -> str:
        return self.called[0]

    def get_supported_act_dtypes(self) -> list[Any]:
        return list(self.dtypes)

    @classmethod
    def get_min_capability(cls) -> int:
        return 0

    @staticmethod
    def get_config_filenames() -> list[str]:
        return []

    @classmethod
    def from_config(cls, config: Any) -> Any:
        return cls()


class Recording:
    """A runtime whose recorder may have to call itself otherwise."""

    root: Path
    recorder_name: list[str]

    def class_file(self, model_class: Any) -> str:
        """Path of the class in the wheel."""
        return str(Path(inspect.getfile(model_class)).relative_to(self.root))

    def another_name(self, error: BaseException) -> bool:
        """Some classes take only configs that they know by name.

        Then the recorder calls itself ModelOpt's.
        """
        if RECORDER not in str(error) or self.recorder_name[0] != RECORDER:
            return False
        self.recorder_name[0] = "modelopt_fp4"
        return True
