"""The form of the command line: options under headings, whatever goes wrong in one line, notes on stderr."""

from __future__ import annotations

import errno
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

SECTIONS = ("Columns", "Files", "Stack", "Folds", "Run", "Other")
FILE = click.Path(path_type=Path)

Say = Callable[[str], None]


class _Option(click.Option):
    """An option that knows under which heading of the help it stands."""

    def __init__(self, *args: Any, section: str = "Other", **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.section = section


class _Command(click.Command):
    """Options under headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = [parameter for parameter in self.get_params(ctx) if isinstance(parameter, click.Option)]
        for section in SECTIONS:
            found = [option for option in options if getattr(option, "section", "Other") == section]
            if records := [record for option in found if (record := option.get_help_record(ctx))]:
                with formatter.section(section):
                    formatter.write_dl(records)


class ManyFiles(_Command):
    """`--test a.csv b.csv`: the option takes all words up to the next option, as a shell writes `test_*.csv` out."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _repeated("--test", args))


def _repeated(name: str, args: Sequence[str]) -> list[str]:
    """With the option again before each further word of its own, which is what click understands."""
    found: list[str] = []
    n_words = -1  # behind the option; below 0 elsewhere
    for arg in args:
        if arg.startswith("-") and arg != "-":
            n_words = 0 if arg == name else -1
        elif n_words >= 0:
            found += [name] if n_words else []
            n_words += 1
        found.append(arg)
    return found


class OneLine(click.Group):
    """Whatever goes wrong is one line on stderr."""

    command_class = _Command

    def main(self, *args: Any, **settings: Any) -> Any:
        given = args[0] if args else settings.get("args")
        command = shlex.join(["stackkit", *(sys.argv[1:] if given is None else given)])
        fixed = {"prog_name": "stackkit", "standalone_mode": False, "obj": command}
        try:
            code = super().main(*args, **settings | fixed)
        except click.ClickException as error:
            code = _fail(error.format_message(), error.exit_code)
        except click.Abort:
            code = _fail("interrupted", 130)
        if settings.get("standalone_mode", True):
            sys.exit(code)
        return code

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (Exception, KeyboardInterrupt) as error:
            told = cause_of(error)
            if told is None:
                raise
            code = _fail(*told, notes=getattr(error, "__notes__", ()))
        return ctx.exit(code)


def cause_of(error: BaseException) -> tuple[str, int] | None:
    """What to say of an error, and the exit code; None for those that are not for users, or for click."""
    from stackkit.exceptions import LearnerFailedError, OtherVersionsError  # noqa: PLC0415  # `--help` is quick

    if isinstance(error, KeyboardInterrupt):
        return "interrupted", 130
    if isinstance(error, LearnerFailedError | OtherVersionsError | MemoryError):
        return str(error) or "out of memory", 1
    if isinstance(error, ValueError | TypeError):
        return str(error), 2
    if isinstance(error, OSError) and error.errno != errno.EPIPE:  # whoever read our output has gone
        return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", 1
    return None


@contextmanager
def noted(note: str) -> Iterator[None]:
    """Whatever goes wrong inside, its line on stderr says this too."""
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        error.add_note(note)
        raise


@contextmanager
def resumable(memory: Path | None) -> Iterator[None]:
    """Ctrl-C inside says how to go on."""
    try:
        yield
    except KeyboardInterrupt as error:
        kept = f"what was computed is in {memory}: the same command goes on from there"
        lost = "what was not finished is lost: with --memory DIR, the same command would go on from there"
        error.add_note(lost if memory is None else kept)
        raise


def _fail(cause: str, code: int, notes: Sequence[str] = ()) -> int:
    line = "; ".join([cause.rstrip("."), *notes]) if notes else cause
    click.echo(f"stackkit: error: {_on_one_line(line)}", err=True)
    return code


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


@contextmanager
def speaking(*, quiet: bool) -> Iterator[Say]:
    """How the commands speak on stderr; warnings take the same way, each once: a verdict fits the same rows again."""
    told: set[str] = set()

    def say(text: str) -> None:
        if not quiet:
            click.echo(f"stackkit: {_on_one_line(text)}", err=True)

    def show(message: Warning | str, *_args: Any, **_settings: Any) -> None:
        text = f"warning: {message}"
        if text not in told:
            told.add(text)
            say(text)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield say


def option(section: str, *names: str, **settings: Any) -> Callable[[Any], Any]:
    return click.option(*names, cls=_Option, section=section, **settings)


def together(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def decorate(command: Any) -> Any:
        for added in reversed(options):
            command = added(command)
        return command

    return decorate
