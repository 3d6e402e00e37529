"""What the tests of pictures have in common: data, learners, nasty names, and reading back what is drawn."""

from matplotlib.text import Text
from sklearn.datasets import load_diabetes, make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from stackkit.plots import (
    CorrelationDisplay,
    HardestRowsDisplay,
    LeaderboardDisplay,
    LearningCurvesDisplay,
    ReliabilityDisplay,
    WeightsDisplay,
)

X2, Y2 = make_classification(200, 6, n_informative=4, flip_y=0.1, random_state=0)
X3, Y3 = make_classification(240, 6, n_informative=4, n_classes=3, flip_y=0.1, random_state=1)
DIABETES, PROGRESS = load_diabetes(return_X_y=True)
HTML = "<img src=x onerror=alert(1)>"
LONG = "an_extraordinarily_long_name_of_a_learner_with_its_end"
NASTY = ["$a_b$ and $", "_hidden", HTML, LONG]
OF_TABLES = [CorrelationDisplay, HardestRowsDisplay, LeaderboardDisplay, ReliabilityDisplay, WeightsDisplay]


def three():
    return [
        ("logistic", LogisticRegression()),
        ("bayes", GaussianNB()),
        ("tree", DecisionTreeClassifier(max_depth=4, min_samples_leaf=5, random_state=0)),
    ]


def texts(ax):
    """All that is written, as a reader sees it."""
    ax.figure.canvas.draw()
    found = [text for text in ax.findobj(Text) if text.get_text() and text.get_visible()]
    return [text.get_text().replace(r"\$", "$").strip() for text in found]


def named(axis):
    return [label.get_text().replace(r"\$", "$") for label in axis.get_ticklabels()]


def legend(ax):
    return [text.get_text().replace(r"\$", "$").strip() for text in ax.get_legend().get_texts()]


def everything(binary, nets, ax_of):
    made = [display.from_estimator(binary, ax=ax_of()) for display in OF_TABLES]
    return [*made, LearningCurvesDisplay.from_estimator(nets, ax=ax_of())]
