"""What columns hold: all values have a say."""

import numpy as np
import pandas as pd
import pytest

from stackkit.cli.columns import Found, kind_of, kinds_of, values_of
from stackkit.cli.reading import read_table
from stackkit.cli.tables import ReadOptions, TableError


@pytest.fixture
def said():
    return []


@pytest.fixture
def read(tmp_path):
    def read(content, **options):
        (tmp_path / "t.csv").write_text(content)
        return read_table(tmp_path / "t.csv", lambda _text: None, ReadOptions(**options))

    return read


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
        (["1", "2,5"], 'number ["", ".", ",", ""]'),
        (["$1,250", "?", "$980"], 'number ["$", ",", ".", ""]'),
        (["12 %", "-", "7.5 %"], 'number ["", ",", ".", "%"]'),
        (["1.234,5", "2"], 'number ["", ".", ",", ""]'),
        (["$12", "12"], "text"),
        (["12 EUR", "12 USD"], "text"),
        (["01234", "12,345"], "text"),
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
def test_a_column_is_what_all_its_values_allow(values, kind):
    found = kind_of(pd.Series(values, dtype=object))
    assert found.kind == kind
    assert not found.doubtful


def test_days_and_months_that_cannot_be_told_apart_stay_text(read, said):
    table = read("born,n\n01/02/2024,1\n03/04/2024,2\n")
    found = kinds_of(table, table.names, np.arange(2), said.append)
    assert found["born"] == Found("text", doubtful=True)
    assert said == [
        "may be dates with the day or with the month first, and are read as text: 'born'; write dates as 2024-12-31"
    ]


def test_values_that_do_not_fit_are_missing_and_named(read):
    table = read("n,d,t\n1,2024-01-01,NA\nx,31.12.2024,b\nNA,,c\n?,2024-01-02,d\n")
    rows = np.arange(4)
    n, strays = values_of(table, "n", "number", rows)
    assert n.isna().tolist() == [False, True, True, True]
    assert strays.to_dict() == {1: "x"}
    d, strays = values_of(table, "d", "date ISO8601", rows)
    assert d.isna().tolist() == [False, True, True, False]
    assert strays.to_dict() == {1: "31.12.2024"}
    t, strays = values_of(table, "t", "text", rows)
    assert t.isna().tolist() == [True, False, False, False]
    assert not len(strays)


@pytest.mark.parametrize("infinity", ["inf", "-Infinity", "1e999"])
def test_infinite_numbers_are_refused_with_their_line(read, infinity):
    table = read(f"n\n1\n{infinity}\n")
    with pytest.raises(TableError, match=f"line 3: the column 'n' holds '{infinity}', which is no finite number"):
        values_of(table, "n", "number", np.arange(2))


def test_numbers_are_read_exactly(read):
    numbers = np.random.default_rng(0).normal(size=300) * 10.0 ** np.arange(-150, 150)
    table = read("n\n" + "\n".join(map(repr, numbers.tolist())) + "\n")
    assert values_of(table, "n", "number", np.arange(300))[0].tolist() == numbers.tolist()


# --- numbers as text --------------------------------------------------------------------------------------------------


def _kinds(read, said, text, **options):
    table = read(text, **options)
    rows = np.arange(len(table.texts))
    found = kinds_of(table, table.names, rows, said.append)
    return {name: values_of(table, name, each.kind, rows)[0].tolist() for name, each in found.items()}


def test_all_that_are_written_as_text_are_one_note(read, said):
    values = _kinds(read, said, 'a,b,c,d\n"$1,250",45.3%,10 EUR,7\n$980,5%,12.5 EUR,8\n')
    assert values == {"a": [1250, 980], "b": [45.3, 5], "c": [10, 12.5], "d": [7, 8]}
    assert said == [
        (
            "numbers that are written as text are read as numbers: 'a' ('$1,250' is 1250), 'b' ('45.3%' is 45.3), "
            "'c' ('12.5 EUR' is 12.5); if that is wrong, see --decimal"
        )
    ]


@pytest.mark.parametrize(
    ("text", "options", "numbers"),
    [
        ('x,y\n"1,234","2,5"\n"9,876",3\n', {}, [1.234, 9.876]),  # the other column tells
        ('x,y\n1.234,"2,5"\n980,3\n', {}, [1234, 980]),
        ('x,y\n1.5,"2,5"\n980,3\n', {}, [1.5, 980]),  # which it cannot be
        ('x,y\n"1,234",2\n"9,876",3\n', {}, [1234, 9876]),
        ('x,y\n"1,234",2\n980,3\n', {}, [1234, 980]),
        ("x;y\n1,234;2\n9,876;3\n", {}, [1.234, 9.876]),  # between semicolons a comma is one before decimals
        ("x;y\n1,234;2\n980;3\n", {}, [1234, 980]),  # but where some have none
        ("x;y\n1,234;2\n980;3\n", {"decimal": ","}, [1.234, 980]),
        ("x;y\n1.234;2\n980;3\n", {"decimal": ","}, [1234, 980]),
        ("x;y\n1,234;2\n9,876;3\n", {"decimal": "."}, [1234, 9876]),
    ],
)
def test_marks_of_two_meanings(read, said, text, options, numbers):
    assert _kinds(read, said, text, **options)["x"] == numbers


def test_a_few_words_among_many_numbers_are_missing(read, said):
    numbers = [f"{i}.5" for i in range(40)]
    values = _kinds(read, said, "x\n" + "\n".join(["n.k.", *numbers]))
    assert np.isnan(values["x"][0])
    assert values["x"][1:] == [float(number) for number in numbers]
    assert said == ["words among numbers count as missing: 'x' ('n.k.')"]


@pytest.mark.parametrize("odd", [["5 kg"], ["1,5"], ["soon", "later", "never"] * 5])
def test_where_most_are_numbers_the_others_are_named(read, said, odd):
    numbers = [f"{i}.5" for i in range(40)]
    values = _kinds(read, said, "x,y\n" + "\n".join(f'"{text}",1' for text in [*odd, *numbers]))
    assert values["x"] == [*odd, *numbers]
    assert f"read as text, since not all values are numbers that are written alike: 'x' ('{odd[0]}'" in said[0]


@pytest.mark.parametrize(
    "values",
    [
        ["1", "2", "3", "crew"] * 10,  # classes
        [*(f"{i:05}" for i in range(40)), "12345-6789"],  # codes
        [*(f"A {i}" for i in range(40)), "7"],
    ],
)
def test_of_categories_and_codes_nothing_is_said(read, said, values):
    assert _kinds(read, said, "x,y\n" + "\n".join(f"{value},1" for value in values))["x"] == values
    assert said == []
