"""Files as people have them, each to a submission with nothing but the file and the target named."""

import io

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import stackkit
from stackkit.cli.commands import main

QUICK = ("--learners", "ridge,lightgbm_linear", "--cv", "3", "--jobs", "1")


def _houses(n=60, seed=0):
    """What the wild files say, written the plain way."""
    rng = np.random.default_rng(seed)
    size = rng.integers(300, 30_000, n) / 10
    frame = pd.DataFrame(
        {
            "size": size,
            "rate": rng.integers(0, 1000, n) / 10,
            "tax": rng.integers(500, 90_000, n).astype(float),
            "town": rng.choice(["Köln", "Ürümqi", "Saint-Étienne"], n),
            "zip": rng.choice(["01234", "00501", "98765"], n),
        }
    )
    return frame.assign(price=np.round(100 * size + 1000 * rng.random(n)))


@pytest.fixture
def fit(tmp_path, monkeypatch):
    """From two files to a submission: what the stack was fitted on and asked about, what was said, what came out."""
    monkeypatch.chdir(tmp_path)
    seen = {}
    of_model = {"fit": stackkit.StackingModel.fit, "predict": stackkit.StackingModel.predict}

    def spy_fit(model, X, y, **params):
        seen.update(X=X, y=y)
        return of_model["fit"](model, X, y, **params)

    def spy_predict(model, X):
        seen.update(new=X)
        return of_model["predict"](model, X)

    monkeypatch.setattr(stackkit.StackingModel, "fit", spy_fit)
    monkeypatch.setattr(stackkit.StackingModel, "predict", spy_predict)

    def fit(train, test, *options, name="csv", stdin=None):
        for file, content in ((f"train.{name}", train), (f"test.{name}", test)):
            (tmp_path / file).write_bytes(content if isinstance(content, bytes) else content.encode())
        source = f"train.{name}" if stdin is None else "-"
        asked = ("fit", source, "--target", "price", "--test", f"test.{name}", "--output", "out.csv", *QUICK, *options)
        done = CliRunner().invoke(main, asked, input=stdin)
        assert done.exit_code == 0, done.stderr
        seen["said"] = done.stderr
        seen["out"] = pd.read_csv(tmp_path / "out.csv")
        return seen

    return fit


def _check(seen, columns=("size", "rate", "tax", "town", "zip"), n_new=20):
    """The stack saw the numbers that the file means, in both files."""
    truth, new = _houses(), _houses(n_new, seed=1)
    assert seen["y"].tolist() == truth["price"].tolist()
    for name in columns:
        assert seen["X"][name].tolist() == truth[name].tolist(), name
        assert seen["new"][name].tolist() == new[name].tolist(), name
    assert list(seen["out"].columns) == ["price"]
    assert len(seen["out"]) == n_new


def _written(frame, **styles):
    """Columns as text: a function of a number for each column that is written in an odd way."""
    return frame.assign(**{name: frame[name].map(style) for name, style in styles.items() if name in frame})


def _csv(frame, **settings):
    return frame.to_csv(**({"index": False} | settings))


def _european(number):
    return f"{number:,.1f}".translate(str.maketrans(",.", ".,"))


def _both(write):
    return write(_houses()), write(_houses(20, seed=1).drop(columns="price"))


def test_thousands_currencies_percent_and_units(fit):
    styles = {"size": "{:,.2f}".format, "rate": "{}%".format, "tax": "${:,.0f}".format, "price": "{:,.0f} EUR".format}
    seen = fit(*_both(lambda frame: _csv(_written(frame, **styles))))
    _check(seen)
    notes = [line for line in seen["said"].splitlines() if "written as text" in line]
    assert len(notes) == 1
    for name in ("size", "rate", "tax", "price"):
        assert f"{name!r} (" in notes[0]
    assert "%' is" in notes[0]
    assert "regression: 60 rows, price from " in seen["said"]


def test_decimal_commas_between_semicolons(fit):
    styles = dict.fromkeys(["size", "rate", "tax", "price"], _european)
    seen = fit(*_both(lambda frame: _csv(_written(frame, **styles), sep=";")))
    _check(seen)
    assert "columns are separated by semicolons" in seen["said"]


def test_a_point_between_thousands_is_told_by_the_other_columns(fit):
    """1.234 alone is a decimal; beside decimal commas it is a thousand."""
    styles = {"size": lambda x: f"{x:.1f}".replace(".", ","), "tax": lambda x: f"{x:,.0f}".replace(",", ".")}
    _check(fit(*_both(lambda frame: _csv(_written(frame, **styles), sep=";"))))


def test_utf_16_with_tabs(fit):
    seen = fit(*_both(lambda frame: _csv(frame, sep="\t").encode("utf-16")))
    _check(seen)
    assert "is read as UTF-16" in seen["said"]
    _check(fit(*_both(lambda frame: _csv(frame).encode("utf-16-le"))))  # and without a mark


def test_latin_1(fit):
    seen = fit(*_both(lambda frame: _csv(frame).encode("cp1252")))
    _check(seen)
    assert "is read as Latin-1, with texts such as 'Köln'" in seen["said"].replace("'Ürümqi', ", "").replace(
        "'Saint-Étienne', ", ""
    )


def test_pipes_and_an_index_without_a_name(fit):
    seen = fit(*_both(lambda frame: _csv(frame.sample(frac=1, random_state=0).sort_index(), index=True, sep="|")))
    _check(seen)
    assert "columns are separated by '|'" in seen["said"]
    assert "it is taken for an index and left out" in seen["said"]
    assert list(seen["X"]) == ["size", "rate", "tax", "town", "zip"]


def test_blank_lines_void_rows_and_empty_columns(fit):
    def write(frame):
        lines = _csv(frame.assign(note="", NA="n/a").rename(columns={"NA": "more"}), lineterminator=",\n").split("\n")
        lines.insert(0, "")
        lines.insert(5, "")
        lines.insert(7, "," * lines[1].count(","))
        return "\n".join([*lines, "  ", ""])

    seen = fit(*_both(write))
    _check(seen)
    assert "left out, without a name or a value: column 9" in seen["said"]
    assert "left out, without a value in any row: 'note', 'more'" in seen["said"]
    assert "train.csv: 1 row(s) of nothing but blanks are left out, the first in line 8" in seen["said"]
    assert "test.csv: 1 row(s) of nothing but blanks" in seen["said"]


def test_names_that_come_again(fit):
    def write(frame):
        return _csv(frame.assign(more=frame["size"] + 1, again=1)).replace(",more,again", ",size,", 1)

    seen = fit(*_both(write))
    _check(seen)
    assert seen["X"]["size.1"].tolist() == (_houses()["size"] + 1).tolist()
    assert "several columns have the name 'size'; from the second one on they are called 'size.1'" in seen["said"]
    assert "without a name: column 8; called 'Unnamed: 1'" in seen["said"]


def test_excels_hint_a_mark_and_line_ends_of_old(fit):
    seen = fit(*_both(lambda frame: b"\xef\xbb\xbfsep=;\r" + _csv(frame, sep=";", lineterminator="\r").encode()))
    _check(seen)


def test_words_and_marks_among_numbers(fit):
    def write(frame):
        texts = frame.assign(size=frame["size"].astype(str), rate=frame["rate"].astype(str))
        texts.loc[3, "size"] = "unknown"
        texts.loc[[4, 5], "rate"] = ["?", "-"]
        return _csv(texts)

    seen = fit(*_both(write))
    _check(seen, columns=("tax", "town", "zip"))
    assert seen["X"]["size"].isna().tolist() == [place == 3 for place in range(60)]
    assert np.flatnonzero(seen["new"]["rate"].isna()).tolist() == [4, 5]
    assert "words among numbers count as missing: 'size' ('unknown')" in seen["said"]
    assert "test.csv: the column 'size' has 1 value(s) that are no number, such as 'unknown'" in seen["said"]


def test_missing_values_that_the_user_names(fit):
    def write(frame):
        return _csv(frame.assign(size=frame["size"].mask(frame.index == 2, -999), town=frame["town"]))

    seen = fit(*_both(write), "--na", "-999,Köln", "--na", "none")
    assert np.flatnonzero(seen["X"]["size"].isna()).tolist() == [2]
    assert seen["X"]["town"].isna().tolist() == (_houses()["town"] == "Köln").tolist()
    assert np.flatnonzero(seen["new"]["size"].isna()).tolist() == [2]


def test_standard_input(fit):
    train, test = _both(_csv)
    _check(fit("", test, stdin=train))


def test_what_the_user_says_of_a_file(fit):
    def write(frame):
        return _csv(_written(frame, size=lambda x: f"{x:.3f}".replace(".", ",")), sep=";").encode("cp1252")

    _check(fit(*_both(write), "--encoding", "cp1252", "--sep", "semicolon", "--decimal", ","))


# --- other kinds of files -----------------------------------------------------------------------------


def _typed(frame):
    return frame.assign(tax=frame["tax"].astype(int), sold=pd.Timestamp("2024-02-03"))


def test_feather(fit):
    pl = pytest.importorskip("polars", reason="Feather files need polars")

    def write(frame):
        file = io.BytesIO()
        pl.DataFrame({name: frame[name].to_list() for name in frame}).write_ipc(file, compression="zstd")
        return file.getvalue()

    _check(fit(*_both(write), name="feather"))


def test_excel(fit):
    pytest.importorskip("openpyxl", reason="Excel files need openpyxl: pip install 'stackkit[excel]'")

    def write(frame):
        file = io.BytesIO()
        with pd.ExcelWriter(file, engine="openpyxl") as book:
            _written(_typed(frame), rate="{}%".format).to_excel(book, sheet_name="Houses", index=False, startrow=2)
            pd.DataFrame({"a": [1]}).to_excel(book, sheet_name="Other")
        return file.getvalue()

    seen = fit(*_both(write), name="xlsx")
    _check(seen)
    assert seen["X"]["sold"].tolist() == [pd.Timestamp("2024-02-03")] * 60
    assert "has 2 sheets, of which the first is read, 'Houses'" in seen["said"]


# --- what was misread, and stops ----------------------------------------------------------------------


@pytest.fixture
def refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def refused(train, test=None, *options):
        (tmp_path / "train.csv").write_text(train)
        files = ()
        if test is not None:
            (tmp_path / "test.csv").write_text(test)
            files = ("--test", "test.csv", "--output", "out.csv")
        done = CliRunner().invoke(main, ["fit", "train.csv", "--target", "price", *files, *QUICK, *options])
        assert done.exit_code == 2, done.stderr
        assert not (tmp_path / "out.csv").exists()
        return done.stderr.splitlines()[-1]

    return refused


def test_a_test_file_that_is_written_otherwise(refused):
    train, new = _houses(), _houses(20, seed=1).drop(columns="price")
    commas = _csv(_written(new, size=lambda x: str(x).replace(".", ","), rate="{} %".format))
    line = refused(_csv(train), commas)
    first = str(new["size"].iloc[0]).replace(".", ",")
    assert (
        f"test.csv, line 2: not written as in the training file: 'size' has 20 value(s) that are no number, such as "
        f"'{first}'" in line
    )
    assert "'rate' has 20 value(s)" in line
    dates = [f"2024-01-{day:02}" for day in range(1, 21)]
    assert "'day' has 20 value(s) that are no date, such as '01.01.2024'" in refused(
        _csv(train.assign(day=dates * 3)), _csv(new.assign(day=[f"{day:02}.01.2024" for day in range(1, 21)]))
    )
    assert "'size' has 15 value(s) that are no number, such as 'soon'" in refused(
        _csv(train), _csv(new.assign(size=["soon"] * 15 + [1.5] * 5))
    )


def test_a_target_of_numbers_and_something_else(refused):
    prices = _houses()["price"].astype(str).tolist()
    line = refused(_csv(_houses().assign(price=["on request", *prices[1:]])))
    assert (
        "train.csv, line 2: the target 'price' is a number in most rows, and in 1 it is not, such as 'on request'"
        in line
    )
    assert "1.5 Mio" in refused(_csv(_houses().assign(price=["1.5 Mio", *prices[1:]])))


def test_a_column_of_many_spellings_is_named(fit):
    def write(frame):
        mixed = frame["size"].astype(str)
        return _csv(frame.assign(size=mixed.where(frame.index % 3 > 0, mixed + " USD")))

    seen = fit(*_both(write))
    _check(seen, columns=("rate", "tax", "town", "zip"))
    assert "read as text, since not all values are numbers that are written alike: 'size' ('" in seen["said"]


@pytest.mark.parametrize("option", ["--target", "--id", "--groups"])
def test_a_name_of_two_columns_cannot_be_named(refused, option):
    text = _csv(_houses().assign(again=1)).replace("size,", "key,", 1).replace(",again", ",key", 1)
    asked = ("--target", "key") if option == "--target" else (option, "key")
    assert f"several columns have the name 'key', which {option} names; rename the others" in refused(
        text, None, *asked
    )


def test_encodings_are_named_where_they_cannot_be_read(refused):
    assert "--encoding: there is no encoding 'latin-11'" in refused("price,x\n1,2\n", None, "--encoding", "latin-11")
    assert "is not ascii; name another --encoding" in refused(_csv(_houses()), None, "--encoding", "ascii")
    assert "'tabs' is not one character" in refused("price,x\n1,2\n", None, "--sep", "tabs")
