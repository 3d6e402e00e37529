"""The page about a stack: complete, self-contained, and names in it are text."""

import re
import shutil
import subprocess
from base64 import b64encode
from collections import Counter
from hashlib import sha256
from html.parser import HTMLParser

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from scipy import sparse
from sklearn.datasets import load_diabetes, load_iris, make_classification, make_multilabel_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import ShuffleSplit, TimeSeriesSplit
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from spies import Fails, with_row_ids

from stackkit import StackingModel, default_learners, plots
from stackkit.evaluation import nested_scores
from stackkit.exceptions import LearnerDroppedWarning, UnreadValuesWarning
from stackkit.nn import BNMLPClassifier

EVIL = "<img src=x onerror=alert(1)>"
LEARNERS = [("tree", DecisionTreeClassifier(max_depth=3)), ("bayes", GaussianNB())]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class _Page(HTMLParser):
    """Its tags with their attributes, the text of each section, and that of the table cells."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.sections, self.section, self.cells, self.script = [], [], {}, "", [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "br"}:
            self.open.append(tag)
        if tag == "section":
            self.section = dict(attrs)["id"]

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in {"script", "style"}:
            self.script += data if self.open[-1] == "script" else ""
            return
        self.sections[self.section] = self.sections.get(self.section, "") + data
        if self.open and self.open[-1] in {"th", "td"}:
            self.cells.append(data)


def _write(model, tmp_path, **options):
    path = model.report(tmp_path / "report.html", **options)
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    page = _Page(path.read_text(encoding="utf8"))
    assert not page.open
    return page


@pytest.fixture(scope="module")
def classed():
    X, y = make_classification(120, n_informative=4, random_state=0)
    return X, y


@pytest.fixture(scope="module")
def model(classed):
    return StackingModel(LEARNERS, cv=3, random_state=0).fit(*classed)


@pytest.fixture(scope="module")
def plain(model, tmp_path_factory):
    """A page about nothing but the model."""
    return _write(model, tmp_path_factory.mktemp("plain"))


TEXT_ONLY = pytest.mark.usefixtures("empty_pictures")


def test_the_page_tells_all_of_a_stack(model, classed, tmp_path):
    nested = nested_scores(model, *classed, cv=3)
    page = _write(model, tmp_path, X=classed[0], nested=nested)
    text = {name: " ".join(section.split()) for name, section in page.sections.items()}
    assert nested.verdict() in text["verdict"]
    assert "the stack's gain over" in text["verdict"]
    assert "log_loss over 3 outer folds, lower is better" in text["verdict"]
    assert f"{nested.table.loc['stack', 'score']:.5f}"[:-2] in text["verdict"]
    board = model.leaderboard()
    for name in board.index:
        assert name in text["leaderboard"]
        assert f"{board.loc[name, 'log_loss']:.3f}" in text["leaderboard"]
    assert "120 training rows, 20 columns" in text["data"]
    assert "3 folds, the same for all learners (cv=3): trained on 80 rows, tested on 40." in text["table"]
    assert "None." in text["failures"]
    assert "double fault" in text["diversity"]
    assert "Confusion matrix" in text["outcomes"]
    assert "average precision" in text["outcomes"]
    assert "size, MB" in text["cost"]
    for known in ("scikit-learn", "from stackkit import StackingModel", "random_state=0", "the same bits"):
        assert known in text["repeat"]
    titles = ["Scores, fold by fold", "Weights", "Importance", "ROC curve", "Precision and recall", "Reliability"]
    titles += ["Hardest rows", "Correlation of out-of-fold predictions"]
    whole = " ".join(page.sections.values())
    assert [title for title in titles if whole.count(f"\n{title}\n") != 1] == []
    assert sum(tag == "figure" for tag, _ in page.tags) == len(titles)  # no network among the learners
    assert "Not shown: Learning curves of the networks." in text["diversity"]


@TEXT_ONLY
def test_the_stacks_score_stands_on_top(model, classed, tmp_path):
    page = _write(model, tmp_path, X=classed[0], target_name="port", source="ships.csv")
    top = " ".join(page.sections[""].split())
    board = model.leaderboard()
    assert "port in ships.csv: 120 rows" in top
    assert "A stack of 2 learners. Classification from 20 columns." in top
    assert f"stack: log-loss {board.loc['stack', 'log_loss']:.4g}" in top
    assert f"best learner, {board.index[1]}: log-loss {board['log_loss'].iloc[1]:.4g}" in top
    shares = np.bincount(classed[1]) / 120
    assert f"without a model: log-loss {-(shares * np.log(shares)).sum():.3f}" in top
    nested = nested_scores(model, *classed, cv=3)
    top = " ".join(_write(model, tmp_path, nested=nested).sections[""].split())
    assert f"stack, on outer folds: log_loss {nested.table.loc['stack', 'score']:.4g}" in top


def test_nothing_comes_from_elsewhere_and_one_script_runs(model, classed, tmp_path):
    page = _write(model, tmp_path, X=classed[0], X_test=classed[0][:9])
    assert [tag for tag, _ in page.tags].count("script") == 1
    policy = next(attributes["content"] for _, attributes in page.tags if "http-equiv" in attributes)
    digest = b64encode(sha256(page.script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none';")
    assert f"script-src 'sha256-{digest}'" in policy
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")], tag
        for key in ("src", "href", "xlink:href"):
            assert attributes.get(key, "#").startswith(("#", "data:")), tag
    ids = Counter(attributes["id"] for _, attributes in page.tags if "id" in attributes)
    assert max(ids.values()) == 1
    for _, attributes in page.tags:  # what is pointed to is there
        for value in filter(None, attributes.values()):
            assert set(re.findall(r"url\(#([^)]+)\)|^#(.+)$", value)) <= {(name, "") for name in ids} | {
                ("", name) for name in ids
            }


def test_pictures_take_the_colour_of_the_page(plain):
    styles = " ".join(attributes.get("style") or "" for _, attributes in plain.tags)
    for colour in ("currentColor", "var(--grey)", "var(--c0)", "var(--stack)"):
        assert colour in styles
    for colour in (plots.INK, plots.GREY, plots.STACK_STYLE[0], *(colour for colour, _, _ in plots.STYLES)):
        assert colour.lower() not in styles
    # As wide as there is room.
    assert not any({"height", "width"} & set(attributes) for tag, attributes in plain.tags if tag == "svg")


def test_pictures_have_no_titles_below_those_of_the_page(plain):
    assert " ".join(plain.sections.values()).count("Correlation of out-of-fold predictions") == 1


def test_without_outer_folds_there_is_no_verdict(model, plain):
    assert "Not evaluated" in plain.sections["verdict"]
    score = model.leaderboard().loc["stack", "log_loss"]
    assert f"{score:.3f}" in plain.sections["leaderboard"]  # cross-fitted on the table, not in-sample
    assert "Slightly optimistic" in plain.sections["leaderboard"]


def test_names_are_text_whatever_they_look_like(tmp_path):
    X, codes = load_iris(return_X_y=True)
    frame = pd.DataFrame(X[:, :2], columns=[EVIL, "b&b"], index=[f"{EVIL}{i}" for i in range(150)])
    y = np.array([EVIL, "]]>", "'\"&amp;"])[codes]
    learners = [
        (EVIL, KNeighborsClassifier(30)),
        ("$\\frac$", GaussianNB()),
        ("_x", DecisionTreeClassifier(max_depth=2)),
    ]
    model = StackingModel(learners, cv=3, random_state=0).fit(frame, y)
    page = _write(model, tmp_path, X=frame, nested=nested_scores(model, frame, y, cv=2))
    assert "img" not in dict(page.tags)
    assert EVIL in page.cells
    assert "_x" in page.cells
    assert "'\"&amp;" in page.cells
    assert "<img" not in (tmp_path / "report.html").read_text(encoding="utf8")


@TEXT_ONLY
def test_columns_are_described_as_they_are_read(tmp_path):
    y = np.arange(60) % 2
    columns = {
        "money": [f"${1250 * n:,}" for n in range(60)],
        "endless": np.where(y, np.inf, 2.5),
        "empty": np.nan,
        "lists": [[n % 3] for n in range(60)],
    }
    frame = pd.DataFrame({"a": np.arange(60.0) % 7} | columns)
    learners = [learner for learner in default_learners("classification", preset="best") if learner[0] == "logistic"]
    with pytest.warns(UnreadValuesWarning):
        model = StackingModel(learners, cv=2).fit(frame, y)
    cells = _write(model, tmp_path, X=frame).cells
    start = cells.index("kind") + 10  # after the other names and the row of "a"
    assert cells[start : start + 10] == [
        *("money", "number", "0.0%", "60", "0 to 73,750, median 36,875"),
        *("endless", "number", "50.0%", "1", "2.5"),
    ]
    assert cells[start + 10 : start + 19] == [
        *("empty", "empty", "100.0%", "0"),
        *("lists", "category", "0.0%", "3", "[0] 33%, [1] 33%, [2] 33%"),
    ]


@TEXT_ONLY
def test_failures_are_told_with_their_tracebacks(classed, tmp_path):
    X, y = with_row_ids(classed[0]), classed[1]
    learners = [*LEARNERS, ("bad", Fails(without_row=3))]
    with pytest.warns(LearnerDroppedWarning):
        model = StackingModel(learners, cv=3, on_error="drop").fit(X, y)
    page = _write(model, tmp_path)
    assert "RuntimeError: boom" in page.sections["failures"]
    assert "Traceback (most recent call last)" in page.sections["failures"]
    assert "failed in fold" in page.sections["leaderboard"]
    assert "random_state is None" in " ".join(page.sections["repeat"].split())


def _stacks():
    iris, diabetes = load_iris(return_X_y=True), load_diabetes(return_X_y=True)
    several = np.column_stack([diabetes[1], -diabetes[1]])
    regressors = [("ridge", Ridge()), ("knn", KNeighborsRegressor())]
    yield "regression", StackingModel(regressors, cv=3), diabetes
    yield "several outputs", StackingModel(regressors, cv=3), (diabetes[0], several)
    yield "time", StackingModel(regressors, cv=TimeSeriesSplit(3)), diabetes
    yield "shuffled", StackingModel(regressors, cv=ShuffleSplit(3, random_state=0)), diabetes
    yield "one learner", StackingModel(LEARNERS[:1], cv=3), iris
    yield "refit", StackingModel(LEARNERS, cv=3, refit=True), iris
    yield "passthrough", StackingModel(LEARNERS, cv=3, passthrough=True), iris
    yield "forest on top", StackingModel(LEARNERS, RandomForestClassifier(5), cv=3), iris
    svm = [("svm", LinearSVC()), ("bayes", GaussianNB())]
    yield "scores", StackingModel(svm, cv=3), iris
    yield "labels", StackingModel(LEARNERS, LogisticRegression(), cv=3, stack_method="predict"), iris
    multilabel = make_multilabel_classification(80, n_classes=3, random_state=0)
    yield "multilabel", StackingModel([("knn", KNeighborsClassifier()), ("tree", LEARNERS[0][1])], cv=3), multilabel
    yield "network", StackingModel([("mlp", BNMLPClassifier(max_epochs=2)), LEARNERS[1]], cv=3, random_state=0), iris
    yield "no weight", StackingModel(LEARNERS, cv=3), (iris[0], np.random.default_rng(0).permutation(iris[1]))


STACKS = {kind: stack for kind, *stack in _stacks()}
# Of other kinds the pictures are much like these, and drawn only.
WITH_PICTURES = {"several outputs", "time", "scores", "multilabel", "network"}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", STACKS)
def test_every_kind_of_stack_has_a_page(kind, tmp_path, request):
    if kind not in WITH_PICTURES:
        request.getfixturevalue("empty_pictures")
    model, data = STACKS[kind]
    page = _write(model.fit(*data), tmp_path, X=data[0], X_test=data[0][:20])
    sections = ("verdict", "leaderboard", "importance", "outcomes", "data", "new", "table", "cost", "diversity")
    for section in (*sections, "failures", "repeat"):
        assert page.sections[section].strip()
    assert "nan" not in page.cells


@TEXT_ONLY
@pytest.mark.parametrize(
    "form", [pd.DataFrame, sparse.csr_matrix, lambda X: X.reshape(-1, 4, 5)], ids=["frame", "sparse", "images"]
)
def test_rows_of_every_kind_are_described_as_far_as_they_can_be(form, model, classed, tmp_path):
    page = _write(model, tmp_path, X=form(classed[0]))
    assert ("kind" in page.cells) == (form is pd.DataFrame)
    assert ("Not shown." in page.sections["importance"]) == (form is not pd.DataFrame)


@TEXT_ONLY
def test_columns_are_described(tmp_path):
    frame = pd.DataFrame(
        {
            "size": [1.5, np.nan, 3.0, 2.0] * 10,
            "born": pd.to_datetime(["2001-01-02", "2003-04-05", None, "2002-01-01"] * 10),
            "town": ["Rome", "Oslo", None, "Rome"] * 10,
        }
    )
    y = [0, 1, 0, 1] * 10
    model = StackingModel(cv=2, random_state=0).set_params(estimators=_for_frames()).fit(frame, y)
    page = _write(model, tmp_path, X=frame)
    start = page.cells.index("kind") + 5
    assert page.cells[start : start + 5] == ["size", "number", "25.0%", "3", "1.5 to 3, median 2"]
    assert page.cells[start + 5 : start + 10] == ["born", "date", "25.0%", "3", "2001-01-02 to 2003-04-05"]
    assert page.cells[start + 10 : start + 15] == ["town", "category", "25.0%", "2", "Rome 67%, Oslo 33%"]


def test_the_ends_of_intervals_have_as_many_decimals(plain):
    cells = [cell for cell in plain.cells if re.fullmatch(r"[\d.]+ to [\d.]+", cell)]
    assert len(cells) == 2 * (len(LEARNERS) + 1)
    for cells_of_one in (cells[::2], cells[1::2]):
        assert len({len(end.partition(".")[2]) for cell in cells_of_one for end in cell.split(" to ")}) == 1


@TEXT_ONLY
def test_numbers_near_1e_9_are_not_zeros(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    model = StackingModel([("line", LinearRegression())], cv=3).fit(X, 1e-9 * (X[:, 0] + rng.normal(size=60)))
    page = _write(model, tmp_path)
    rmse = model.leaderboard()["rmse"].iloc[1]
    assert f"{rmse:.3e}" in page.cells
    assert not [cell for cell in page.cells if re.fullmatch(r"-?0\.0+", cell)]


def _for_frames():
    from stackkit import default_learners

    return [
        pair for pair in default_learners("classification", preset="best") if pair[0] in {"logistic", "naive_bayes"}
    ]


@TEXT_ONLY
def test_wide_tables_and_many_classes_are_cut_and_it_is_said(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(120, 250)), np.arange(120) % 40
    model = StackingModel([("bayes", GaussianNB())], cv=3, random_state=0).fit(X, y)
    page = _write(model, tmp_path, X=X)
    assert "250 columns, the first 200 shown" in page.sections["data"]
    assert "The 30 most frequent of 40 classes." in page.sections["data"]


def test_nothing_is_left_open_and_no_setting_changed(model, tmp_path):
    before, figures = dict(mpl.rcParams), plt.get_fignums()
    _write(model, tmp_path)
    assert plt.get_fignums() == figures
    assert dict(mpl.rcParams) == before


@TEXT_ONLY
def test_a_page_that_fails_leaves_the_old_one(model, tmp_path, monkeypatch):
    (tmp_path / "report.html").write_text("old")
    monkeypatch.setattr("stackkit.report.report.repeat", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.report(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def _dom(page, profile):
    """What a browser makes of a page, and what it has to say of it."""
    quiet = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", *quiet, "--enable-logging=stderr"]
    where = [f"--user-data-dir={profile}", "--dump-dom", page.as_uri()]
    done = subprocess.run([*command, *where], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0
    return done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_a_browser_has_nothing_to_complain_of_and_sorts_on_click(model, classed, tmp_path):
    page = model.report(tmp_path / "report.html", X=classed[0], X_test=classed[0][:30])
    shown, told = _dom(page, tmp_path / "profile")
    assert "CONSOLE" not in told
    assert "To repeat it" in shown
    assert 'title="Sort by this column"' in shown  # the script was let run
    text = page.read_text(encoding="utf8")
    board = _Page(text)
    column = board.cells.index("fit s")
    clicks = f"<script>document.querySelectorAll('#leaderboard th[scope=col]')[{column}].click()</script></body>"
    clicked = text.replace("</body>", clicks)
    page.write_text(clicked, encoding="utf8")
    shown, told = _dom(page, tmp_path / "profile")
    assert "Content Security Policy" in told  # no other script is
    assert "aria-sort" not in shown.partition("</style>")[2].partition("<script>")[0]
    page.write_text(re.sub("<meta http-equiv[^>]*>", "", clicked), encoding="utf8")
    shown, _ = _dom(page, tmp_path / "profile")
    seconds = model.leaderboard()["fit_seconds"].sort_values()
    cells = _Page(shown).cells
    start = column + 1
    width = column + 1
    assert cells[start : start + 3 * width : width] == list(seconds.index)
