"""``python -m stackkit.cli`` is the command `stackkit`."""

from stackkit.cli import main

main()
