"""A first stack
=============

A stack of stackkit's default learners on the passengers of the Titanic, as the table is: text, gaps and all.
"""

import argparse

from sklearn.model_selection import train_test_split

from stackkit import StackingClassifier
from stackkit.datasets import load_titanic
from stackkit.plots import LeaderboardDisplay

argparse.ArgumentParser(description="Fit a stack to the Titanic's passengers.").parse_args()
X, y = load_titanic(return_X_y=True)
X_train, X_new, y_train, y_new = train_test_split(X, y, stratify=y, random_state=0)
model = StackingClassifier(n_jobs=2, random_state=0).fit(X_train, y_train)
print(model.leaderboard()[["log_loss", "accuracy", "weight"]].round(3))
print(f"{model.score(X_new, y_new):.1%} of {len(X_new)} new passengers are predicted right.")
caption = {"Description": "Log-loss of the stack and of its learners with 95 % intervals; the lowest is the best."}
LeaderboardDisplay.from_estimator(model).figure_.savefig("first_stack.png", dpi=110, metadata=caption)
