"""Tables are read as they are written, or not at all."""

import gzip
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest

from stackkit.cli.columns import values_of
from stackkit.cli.reading import read_table
from stackkit.cli.tables import ReadOptions, TableError


@pytest.fixture
def said():
    return []


@pytest.fixture
def read(tmp_path, said):
    def read(content, name="t.csv", **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_table(path, said.append, ReadOptions(**options))

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


@pytest.mark.parametrize(("mark", "word"), [(";", "semicolons"), ("\t", "tabs"), ("|", "'|'")])
def test_other_delimiters_are_told_by_the_header_and_said(read, said, mark, word):
    table = read(f'"a,b"{mark}c\n1{mark}"2{mark}3"\n')
    assert table.names == ["a,b", "c"]
    assert _rows(table) == [["1", f"2{mark}3"]]
    assert said == [f"{table.path}: columns are separated by {word}"]


def test_a_semicolon_in_one_of_several_names_is_none(read, said):
    assert read("a;b,c\n1,2\n").names == ["a;b", "c"]
    assert said == []


def test_what_splits_all_lines_alike_is_the_delimiter(read):
    assert read("a, EUR;b\n1,5;2,5\n2,25;3\n").names == ["a, EUR", "b"]
    assert read('"a|b";c\n"1\n|2";3\n').names == ["a|b", "c"]
    assert read("a,b;c\n1;2,3\n").names == ["a", "b;c"]


def test_the_user_knows_the_delimiter_better(read, said):
    assert read("a;b,c\n1;2,3\n", sep=";").names == ["a", "b,c"]
    assert read("a b\n1 2\n", sep=" ").names == ["a", "b"]
    assert said == []


def test_empty_lines_and_rows_of_blanks_are_skipped_and_lines_stay_known(read, said):
    table = read("\n  \na,b\n1,2\n\n , \n3,4\n,\n")
    assert table.lines == (4, 7)
    assert _rows(table) == [["1", "2"], ["3", "4"]]
    assert said == [f"{table.path}: 2 row(s) of nothing but blanks are left out, the first in line 6"]


# --- encodings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252"]
)
def test_encodings_that_a_file_tells(read, encoding):
    text = "name,town\n" + "Ann,Köln\nBob,Orléans\n" * 5
    assert _rows(read(text.encode(encoding)))[:2] == [["Ann", "Köln"], ["Bob", "Orléans"]]


def test_latin_1_is_said_with_texts_to_look_at(read, said):
    table = read("a,b\n1,2\nKöln,3\nÖ,4\n".encode("cp1252"))
    assert said == [
        (
            f"{table.path}: is not UTF-8 in line 3, and is read as Latin-1, with texts such as 'Köln', 'Ö'; if that is "
            "wrong, name its --encoding"
        )
    ]


@pytest.mark.parametrize("encoding", ["cp1251", "cp1250", "shift_jis", "utf-16"])
def test_the_user_knows_the_encoding_better(read, said, encoding):
    text = {"cp1251": "Москва", "cp1250": "Łódź", "shift_jis": "東京", "utf-16": "東京"}[encoding]
    assert _rows(read(f"a,b\n{text},1\n".encode(encoding), encoding=encoding)) == [[text, "1"]]
    assert said == []


# --- names -----------------------------------------------------------------------------------------------------------


def test_names_that_come_again_are_made_distinct_as_pandas_does(read, said):
    table = read("x,x,y,x,x.1,y\n" + "1,2,3,4,5,6\n")
    assert table.names == ["x", "x.2", "y", "x.3", "x.1", "y.1"]
    assert table.repeated == ("x", "y")
    assert said == [
        (
            f"{table.path}: several columns have the name 'x', 'y'; from the second one on they are called 'x.2', "
            "'x.3', 'y.1'"
        )
    ]


def test_columns_without_a_name_are_counted_or_left_out(read, said):
    table = read(",a, ,,b,\n1,2,3,,4,\n2,3,4,,5,\n")
    assert table.names == ["Unnamed: 0", "a", "Unnamed: 1", "b"]
    assert said == [
        f"{table.path}: left out, without a name or a value: columns 4, 6",
        f"{table.path}: without a name: column 3; called 'Unnamed: 1'",
    ]


def test_what_the_user_says_is_missing_is_empty(read):
    table = read("id,a,b\n-1,-1.0,x\n7,2, none\n").without(("-1", "none"), but=["id", None])
    assert _rows(table) == [["-1", "", "x"], ["7", "2", ""]]


def test_one_column_may_have_missing_values(read):
    assert _rows(read('a\n1\n""\n3\n')) == [["1"], [""], ["3"]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"t\.csv: is empty"),
        (b"\n \n", r"t\.csv: is empty"),
        (b"a,b\n", "holds the names of columns and no rows"),
        (b"a,b\n\n\n", "holds the names of columns and no rows"),
        (b"a,b\n1,2\n3\n", r"line 3: 1 field\(s\) where the header has 2"),
        (b"a,b\n1,2\n3,4,5\n", r"line 3: 3 field\(s\) where the header has 2"),
        (b'a,b\n"1\n1",2\n3\n', r"line 4: 1 field\(s\)"),
        (b"a,b\n,\n , \n", "holds the names of columns and no rows"),
        (b"\n\na,b\n1,2\n\n3\n", r"line 6: 1 field\(s\) where the header has 2"),
        (b"sep=;\na;b\n1;2\n3\n", r"line 4: 1 field\(s\) where the header has 2"),
        (b'a,b\n1,2\n"3,4\n5,6\n', "line 3: a quote is opened in this row and never closed"),
        (b'a,b\n1,2\n3,"4"4\n', "line 3: text follows a closing quote"),
        (b'a,b\n"' + b"x,1\n" * 40_000, "line 2: a field has more than 131,072 characters"),
        (b"a,b\n1,2\n3,\0\n", "line 3: holds a NUL byte"),
        ("a,b\n1,\xe9\n3,".encode() + b"\xe9\n", "line 3: is UTF-8 with broken bytes"),
        ("a,b\n1,2\n".encode("utf-16")[:-1], "line 2: is not utf-16; name another --encoding"),
        (b"PK\x03\x04 and so on", "is a zip archive; is it an Excel file"),
        (gzip.compress(b"a,b\n1,2\n"), r"is packed; name it \.csv\.gz"),
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
    read = {name: values_of(table, name, kind, np.arange(3))[0] for name, kind in table.kinds.items()}
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


@pytest.mark.parametrize("name", ["t.parquet", "t.feather"])
def test_without_polars_it_is_said_what_to_install(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(TableError, match=r"need polars; run: pip install 'stackkit\[parquet\]'"):
        read_table(tmp_path / name, print)


def test_feather_says_its_kinds_itself(tmp_path):
    frame = pl.DataFrame(
        {"n": [1, None], "day": ["2024-01-02", None], "code": ["007", "x"], "__index_level_0__": [7, 3]}
    )
    frame.with_columns(pl.col("day").str.to_date()).write_ipc(tmp_path / "t.feather")
    table = read_table(tmp_path / "t.feather", print)
    assert list(table.kinds.values()) == ["number", "date ISO8601", "text", "number"]
    (tmp_path / "t.feather").write_bytes(b"ARROW1 or not")
    with pytest.raises(TableError, match="is no Feather file that can be read"):
        read_table(tmp_path / "t.feather", print)


# --- Excel -----------------------------------------------------------------------------------------------------------


def test_without_openpyxl_it_is_said_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(TableError, match=r"need openpyxl; run: pip install 'stackkit\[excel\]'"):
        read_table(tmp_path / "t.xlsx", print)


def test_old_spreadsheets_are_refused(tmp_path):
    for name in ("t.xls", "t.ods"):
        with pytest.raises(TableError, match=r"files cannot be read; save it as \.xlsx or \.csv"):
            read_table(tmp_path / name, print)


def test_cells_become_text_and_rows_keep_their_numbers(tmp_path, said):
    openpyxl = pytest.importorskip("openpyxl", reason="Excel files need openpyxl: pip install 'stackkit[excel]'")
    book = openpyxl.Workbook()
    for row in (
        [],
        ["id", "n", "day", "yes", None],
        ["007", 2.0, pd.Timestamp("2024-02-03"), True],
        [],
        [8, 0.25],
    ):
        book.active.append(row)
    book.save(tmp_path / "t.xlsx")
    table = read_table(tmp_path / "t.xlsx", said.append)
    assert table.names == ["id", "n", "day", "yes"]
    assert _rows(table) == [["007", "2", "2024-02-03 00:00:00", "True"], ["8", repr(0.25), "", ""]]
    assert str(table.error("odd", 1)).endswith("t.xlsx, row 5: odd")
    (tmp_path / "t.xlsx").write_bytes(b"no Excel")
    with pytest.raises(TableError, match="is no Excel file that can be read"):
        read_table(tmp_path / "t.xlsx", print)
