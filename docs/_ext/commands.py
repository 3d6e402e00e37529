"""A page of the commands, with the help that they print."""

from pathlib import Path

import click
from sphinx.application import Sphinx

from stackkit.cli import main

START = """# Commands

`stackkit` takes a table in a file, writes predictions to a file, and says what it did on the way. What follows is what
`stackkit COMMAND --help` prints. `python -m stackkit` is the same command.
"""


def write_page(app: Sphinx) -> None:
    path = Path(app.srcdir, "reference", "generated", "commands.md")
    path.parent.mkdir(exist_ok=True)
    text = "\n".join([START, *_sections()])
    if not path.exists() or path.read_text(encoding="utf8") != text:
        path.write_text(text, encoding="utf8")


def _sections() -> list[str]:
    above = click.Context(main, info_name="stackkit")
    pages = [("stackkit", main.get_help(above))]
    for name, command in main.commands.items():
        context = click.Context(command, info_name=name, parent=above)
        pages.append((f"stackkit {name}", command.get_help(context)))
    return [f"## {name}\n\n```text\n{page.strip()}\n```\n" for name, page in pages]


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", write_page, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
