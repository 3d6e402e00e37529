"""What is written is read back, and what cannot be written is found out before."""

import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackkit.cli.reading import PACKED, read_table
from stackkit.cli.tables import TableError
from stackkit.cli.writing import check_apart, check_suffix, check_writable, write_table


@pytest.mark.parametrize(
    "name", ["t.csv", "t.csv.gz", "T.CSV.GZ", "t.csv.bz2", "t.csv.xz", "t.tsv", "t.parquet", "t.feather"]
)
def test_what_is_written_is_read_back(tmp_path, name):
    frame = pd.DataFrame({"id": ["007", " x"], "text": ["a,b\tc", 'say "no"\nor not'], "number": [0.1 + 0.2, 1e-300]})
    write_table(frame, tmp_path / name)
    said = []
    table = read_table(tmp_path / name, said.append)
    assert table.texts[["id", "text"]].to_numpy().tolist() == frame[["id", "text"]].to_numpy().tolist()
    assert table.texts["number"].astype(float).tolist() == frame["number"].tolist()
    assert said == ([f"{tmp_path / name}: columns are separated by tabs"] if name == "t.tsv" else [])


@settings(deadline=None)
@given(
    st.lists(
        st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=2, max_size=2), min_size=1
    )
)
def test_any_text_survives(tmp_path_factory, rows):
    rows = [[f"x{a}", b] for a, b in rows]  # a row of nothing but blanks is refused
    path = tmp_path_factory.mktemp("any") / "t.csv"
    write_table(pd.DataFrame(rows, columns=["a", "b"]), path)
    assert read_table(path, print).texts.to_numpy().tolist() == rows


@pytest.mark.parametrize("name", ["t", "t.xlsx", "t.gz", "t.parquet.gz", "csv"])
def test_a_name_has_to_tell_the_kind(tmp_path, name):
    with pytest.raises(TableError, match="does not tell what kind of table it is"):
        check_suffix(tmp_path / name)


def test_parquet_without_polars_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(TableError, match=r"need polars; run: pip install 'stackkit\[parquet\]'"):
        check_suffix(tmp_path / "t.parquet")


def test_places_that_cannot_be_written_are_found_out(tmp_path):
    check_writable(tmp_path / "new.csv")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(TableError, match="cannot be written: it is a folder"):
        check_writable(tmp_path)
    with pytest.raises(TableError, match="cannot be written \\(no such file or directory\\)"):
        check_writable(tmp_path / "no" / "new.csv")


def test_files_without_permission_are_refused(tmp_path, monkeypatch):  # whoever the tests run as
    def denied(*_args, **_settings):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "t.csv").write_text("a\n1\n")
    monkeypatch.setitem(PACKED, "", denied)
    with pytest.raises(TableError, match=r"t\.csv: cannot be read \(permission denied\)"):
        read_table(tmp_path / "t.csv", print)
    monkeypatch.setattr(Path, "touch", denied)
    with pytest.raises(TableError, match=r"out\.csv: cannot be written \(permission denied\)"):
        check_writable(tmp_path / "out.csv")


def test_no_file_is_read_and_written(tmp_path):
    train, link = tmp_path / "train.csv", tmp_path / "link.csv"
    train.write_text("a\n1\n")
    link.hardlink_to(train)
    check_apart({"TRAIN": train}, {"--output": tmp_path / "out.csv"})
    for written in (train, tmp_path / "." / "train.csv", link):
        with pytest.raises(TableError, match="is both TRAIN and --output"):
            check_apart({"TRAIN": train}, {"--output": written})
    with pytest.raises(TableError, match="is both --output and --model"):
        check_apart({"TRAIN": train}, {"--output": tmp_path / "x", "--model": tmp_path / "x"})


def test_standard_input_is_one_file_only(tmp_path):
    check_apart({"TRAIN": Path("-"), "--test": tmp_path / "t.csv"}, {"--output": tmp_path / "out.csv"})
    with pytest.raises(TableError, match=r"standard input: is .* and .*; it can be one of these only"):
        check_apart({"TRAIN": Path("-"), "--test": Path("-")}, {})
