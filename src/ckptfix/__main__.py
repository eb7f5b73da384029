"""``python -m ckptfix``."""

from ckptfix.cli.app import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
