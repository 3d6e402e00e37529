"""The form of the command line: headings, and one line on stderr for whatever goes wrong."""

import warnings

import click
import pytest
from click.testing import CliRunner

from stackkit.cli.form import FILE, OneLine, cause_of, noted, option, speaking, together
from stackkit.exceptions import LearnerFailedError, OtherVersionsError


@pytest.fixture
def run():
    """A command that raises what a test gives it, with notes."""

    def run(error, *notes):
        @click.group(cls=OneLine)
        def main():
            """What a test needs of a command."""

        @main.command
        def work():
            if not notes:
                raise error
            with noted(notes[-1]), noted(notes[0]):
                raise error

        return CliRunner().invoke(main, ["work"])

    return run


ENDS = [
    (LearnerFailedError("knn failed\n in fold 2."), "knn failed in fold 2.", 1),
    (OtherVersionsError("old"), "old", 1),
    (MemoryError(), "out of memory", 1),
    (ValueError("X is odd."), "X is odd.", 2),
    (TypeError("X is no table."), "X is no table.", 2),
    (OSError(28, "No space left on device", "out.csv"), "No space left on device: out.csv", 1),
    (OSError("odd"), "odd", 1),
    (KeyboardInterrupt(), "interrupted", 130),
    (click.UsageError("--gap is odd."), "--gap is odd.", 2),
]


@pytest.mark.parametrize(("error", "line", "code"), ENDS)
def test_what_goes_wrong_is_one_line_and_a_code(run, error, line, code):
    done = run(error)
    assert (done.exit_code, done.stdout, done.stderr) == (code, "", f"stackkit: error: {line}\n")


@pytest.mark.parametrize(("error", "line", "code"), ENDS[:-1])
def test_notes_end_the_line_the_inner_one_first(run, error, line, code):
    done = run(error, "the fit stays", "written: out.csv")
    expected = f"stackkit: error: {line.rstrip('.')}; the fit stays; written: out.csv\n"
    assert (done.exit_code, done.stderr) == (code, expected)


def test_what_is_not_for_users_comes_as_it_is(run):
    for error in (RuntimeError("a fault of ours"), BrokenPipeError(32, "Broken pipe")):
        assert cause_of(error) is None
    assert isinstance(run(RuntimeError("a fault of ours")).exception, RuntimeError)


def test_options_stand_under_their_headings():
    @click.group(cls=OneLine)
    def main():
        """What a test needs of a command."""

    @main.command()
    @together(option("Run", "--last", help="Of the work."), option("Files", "--first", type=FILE, help="Of files."))
    def work(**_options):
        """Do it."""

    lines = CliRunner().invoke(main, ["work", "--help"]).stdout.split("\n")
    assert lines.index("Files:") < lines.index("  --first PATH  Of files.") < lines.index("Run:")
    assert lines.index("Run:") < lines.index("  --last TEXT  Of the work.") < lines.index("Other:")


@pytest.mark.parametrize("quiet", [False, True])
def test_notes_and_warnings_are_lines_or_not_said(capsys, quiet):
    with speaking(quiet=quiet) as say:
        say("two\nrows")
        warnings.warn("odd", UserWarning, stacklevel=1)
    assert capsys.readouterr().err == ("" if quiet else "stackkit: two rows\nstackkit: warning: odd\n")
