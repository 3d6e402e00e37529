"""``python -m stackkit`` is the command `stackkit`."""

from stackkit.cli import main

if __name__ == "__main__":
    main()
