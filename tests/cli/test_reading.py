"""Tables are read as they are written, or not at all."""

import gzip
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackkit.cli import tables as _tables
from stackkit.cli.tables import (
    TableError,
    as_kind,
    check_apart,
    check_suffix,
    check_writable,
    kind_of,
    read_table,
    write_table,
)


@pytest.fixture
def said():
    return []


@pytest.fixture
def read(tmp_path, said):
    def read(content, name="t.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_table(path, said.append)

    return read


def _rows(table):
    return table.texts.to_numpy().tolist()


# --- reading ---------------------------------------------------------------------------------------------------------


def test_every_field_keeps_its_text(read):
    table = read('id,x\n007,NA\n 1,"a ""quoted"", text"\n1.50,None\n,\n'.replace("\n,\n", "\n9,\n"))
    assert _rows(table) == [["007", "NA"], [" 1", 'a "quoted", text'], ["1.50", "None"], ["9", ""]]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_marks_and_empty_last_lines_mean_nothing(read, end, mark):
    table = read(mark + end.join(["a,b", "1,2", "3,4", "", "  ", ""]).encode())
    assert table.names == ["a", "b"]
    assert _rows(table) == [["1", "2"], ["3", "4"]]


def test_rows_know_their_lines_after_quoted_newlines(read):
    table = read('a,b\n"1\n2\n3",x\n4,y\n')
    assert table.lines == (2, 5)
    assert str(table.error("odd", 1)).endswith("t.csv, line 5: odd")


@pytest.mark.parametrize(("mark", "word"), [(";", "semicolons"), ("\t", "tabs")])
def test_other_delimiters_are_told_by_the_header_and_said(read, said, mark, word):
    table = read(f'"a,b"{mark}c\n1{mark}"2{mark}3"\n')
    assert table.names == ["a,b", "c"]
    assert _rows(table) == [["1", f"2{mark}3"]]
    assert said == [f"{table.path}: columns are separated by {word}"]


def test_a_semicolon_in_one_of_several_names_is_none(read, said):
    assert read("a;b,c\n1,2\n").names == ["a;b", "c"]
    assert said == []


def test_one_column_may_have_missing_values(read):
    assert _rows(read('a\n1\n""\n3\n')) == [["1"], [""], ["3"]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"t\.csv: is empty"),
        (b"\n \n", r"t\.csv: is empty"),
        (b"\na,b\n1,2\n", "line 1: the first line is empty"),
        (b"a,b\n", "holds the names of columns and no rows"),
        (b"a,b\n\n\n", "holds the names of columns and no rows"),
        (b"a,b,a\n1,2,3\n", "line 1: two columns have the name 'a'"),
        (b"a,,b\n1,2,3\n", "line 1: column 2 has no name"),
        (b"a,b\n1,2\n3\n", r"line 3: 1 field\(s\) where the header has 2"),
        (b"a,b\n1,2\n3,4,5\n", r"line 3: 3 field\(s\) where the header has 2"),
        (b'a,b\n"1\n1",2\n3\n', r"line 4: 1 field\(s\)"),
        (b"a,b\n1,2\n\n3,4\n", "line 3: an empty line between rows"),
        (b"a,b\n1,2\n   \n3,4\n", "line 3: an empty line between rows"),
        (b"a,b\n1,2\n , \n3,4\n", "line 3: a row of nothing but blanks"),
        (b"a,b\n1,2\n,\n", "line 3: a row of nothing but blanks"),
        (b'a,b\n1,2\n"3,4\n5,6\n', "line 3: a quote is opened in this row and never closed"),
        (b'a,b\n1,2\n3,"4"4\n', "line 3: text follows a closing quote"),
        (b'a,b\n"' + b"x,1\n" * 40_000, "line 2: a field has more than 131,072 characters"),
        (b"a,b\n1,2\n3,\0\n", "line 3: holds a NUL byte"),
        (b"a,b\n1,2\n3,\xe9\n", "line 3: is not UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "line 1: is not UTF-8"),
    ],
)
def test_what_is_no_table_is_refused_with_its_line(read, content, message):
    with pytest.raises(TableError, match=message):
        read(content)


@pytest.mark.parametrize(
    "damage", [b"", b"no gzip", gzip.compress(b"a,b\n" + b"1,2\n" * 500)[:-12]], ids=["empty", "other", "cut short"]
)
def test_damaged_archives_are_refused(read, damage):
    with pytest.raises(TableError, match=r"t\.csv\.gz: (is damaged|cannot be read|is empty)"):
        read(damage, "t.csv.gz")


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "T.CSV.GZ", "t.csv.bz2", "t.csv.xz", "t.tsv", "t.parquet"])
def test_what_is_written_is_read_back(tmp_path, said, name):
    frame = pd.DataFrame({"id": ["007", " x"], "text": ["a,b\tc", 'say "no"\nor not'], "number": [0.1 + 0.2, 1e-300]})
    write_table(frame, tmp_path / name)
    table = read_table(tmp_path / name, said.append)
    assert table.texts[["id", "text"]].to_numpy().tolist() == frame[["id", "text"]].to_numpy().tolist()
    assert table.texts["number"].astype(float).tolist() == frame["number"].tolist()
    assert said == ([f"{tmp_path / name}: columns are separated by tabs"] if name == "t.tsv" else [])


@given(
    st.lists(
        st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=2, max_size=2), min_size=1
    )
)
def test_any_text_survives(tmp_path_factory, rows):
    rows = [[f"x{a}", b] for a, b in rows]  # a row of nothing but blanks is refused
    path = tmp_path_factory.mktemp("any") / "t.csv"
    write_table(pd.DataFrame(rows, columns=["a", "b"]), path)
    assert _rows(read_table(path, print)) == rows


@pytest.mark.parametrize("name", ["t", "t.xlsx", "t.gz", "t.parquet.gz", "csv"])
def test_a_name_has_to_tell_the_kind(tmp_path, name):
    with pytest.raises(TableError, match="does not tell what kind of table it is"):
        check_suffix(tmp_path / name)


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(TableError, match="cannot be read \\(no such file or directory\\)"):
        read_table(tmp_path / "t.csv", print)
    with pytest.raises(TableError, match="is a folder"):
        read_table(tmp_path, print)


# --- Parquet ---------------------------------------------------------------------------------------------------------


def test_parquet_says_its_kinds_itself(tmp_path):
    frame = pl.DataFrame(
        {
            "count": [1, None, 3],
            "share": [0.1, float("nan"), 1 / 3],
            "code": ["12", None, "13"],
            "day": pl.Series(["2024-01-02", None, "2024-12-31"]).str.to_date(),
            "time": pl.Series(["2024-01-02 03:04:05", None, "2024-12-31 00:00:00"]).str.to_datetime(
                time_zone="Europe/Berlin"
            ),
            "yes": [True, None, False],
        }
    )
    frame.write_parquet(tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet", print)
    assert list(table.kinds.values()) == ["number", "number", "text", "date ISO8601", "date ISO8601", "text"]
    read = {name: as_kind(table, name, kind, np.arange(3), print) for name, kind in table.kinds.items()}
    assert read["count"].tolist()[::2] == [1.0, 3.0]
    assert read["share"].tolist()[::2] == [0.1, 1 / 3]
    assert read["code"].tolist()[::2] == ["12", "13"]
    assert read["day"].tolist()[::2] == [pd.Timestamp("2024-01-02"), pd.Timestamp("2024-12-31")]
    assert read["time"].tolist()[0] == pd.Timestamp("2024-01-02 02:04:05")  # as of UTC
    assert all(column.isna().tolist() == [False, True, False] for column in read.values())


def test_parquet_that_no_learner_takes_is_refused(tmp_path):
    pl.DataFrame({"a": [[1, 2]]}).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(TableError, match="the column 'a' holds List"):
        read_table(tmp_path / "t.parquet", print)
    (tmp_path / "t.parquet").write_bytes(b"PAR1 or not")
    with pytest.raises(TableError, match="no Parquet file that can be read"):
        read_table(tmp_path / "t.parquet", print)


def test_parquet_without_polars_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(TableError, match=r"need polars; run: pip install 'stackkit\[parquet\]'"):
        check_suffix(tmp_path / "t.parquet")


# --- what columns hold -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-2.5", "1e3", " 4 ", ".5", "+6"], "number"),
        (["1", "NA", "", "nan", " ", "2"], "number"),
        (["0", "0.5", "00.5"], "number"),
        (["0", "10"], "number"),
        (["", "NA"], "number"),
        (["007", "12"], "text"),
        (["1", "1_000"], "text"),
        (["1", "2,5"], "text"),
        (["1", "x"], "text"),
        (["2024-01-31", "", "2023-12-01"], "date ISO8601"),
        (["2024-01-31 10:00", "2024-01-31T10:00:00.5Z"], "date ISO8601"),
        (["2024-01-31", "2024-02-30"], "text"),
        (["2024-01-31", "soon"], "text"),
        (["2024-01-31", "5"], "text"),
        (["31/01/2024", "01/02/2024"], "date %d/%m/%Y"),
        (["01/02/2024", "01/31/2024"], "date %m/%d/%Y"),
        (["31.01.2024 10:30", "01.02.2024 00:00"], "date %d.%m.%Y %H:%M"),
        (["2024/01/31", "2024/02/01"], "date %Y/%m/%d"),
        (["31/01/2024", "01/31/2024"], "text"),
        (["31 Jan 2024", "1 Feb 2024"], "date %d %b %Y"),
        (["January 31, 2024", "May 1, 2024"], "date %B %d, %Y"),
        (["1.2.3", "4.5.6"], "text"),
        (["True", "False"], "text"),
    ],
)
def test_a_column_is_what_all_its_values_allow(values, kind, said):
    assert kind_of("x", pd.Series(values, dtype=object), said.append) == kind
    assert said == []


def test_days_and_months_that_cannot_be_told_apart_stay_text(said):
    assert kind_of("born", pd.Series(["01/02/2024", "03/04/2024"], dtype=object), said.append) == "text"
    assert "the column 'born' may be dates with the day or with the month first" in said[0]


def test_values_that_do_not_fit_are_missing_and_counted(read, said):
    table = read("n,d,t\n1,2024-01-01,NA\nx,31.12.2024,b\nNA,,c\ny,2024-01-02,d\n")
    rows = np.arange(4)
    assert as_kind(table, "n", "number", rows, said.append).isna().tolist() == [False, True, True, True]
    assert as_kind(table, "d", "date ISO8601", rows, said.append).isna().tolist() == [False, True, True, False]
    assert as_kind(table, "t", "text", rows, said.append).isna().tolist() == [True, False, False, False]
    assert said == [
        f"{table.path}: the column 'n' has 2 value(s) that are no number, such as 'x'; they count as missing",
        f"{table.path}: the column 'd' has 1 value(s) that are no date, such as '31.12.2024'; they count as missing",
    ]


@pytest.mark.parametrize("infinity", ["inf", "-Infinity", "1e999"])
def test_infinite_numbers_are_refused_with_their_line(read, infinity):
    table = read(f"n\n1\n{infinity}\n")
    with pytest.raises(TableError, match=f"line 3: the column 'n' holds '{infinity}', which is no finite number"):
        as_kind(table, "n", "number", np.arange(2), print)


def test_numbers_are_read_exactly(read):
    numbers = np.random.default_rng(0).normal(size=300) * 10.0 ** np.arange(-150, 150)
    table = read("n\n" + "\n".join(map(repr, numbers.tolist())) + "\n")
    assert as_kind(table, "n", "number", np.arange(300), print).tolist() == numbers.tolist()


# --- writing ---------------------------------------------------------------------------------------------------------


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
    monkeypatch.setitem(_tables._PACKED, "", denied)
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
