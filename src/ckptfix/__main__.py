"""``python -m ckptfix``."""

from ckptfix.cli.app import main

if __name__ == "__main__":
    main()
