"""A raw frame of many kinds of columns."""

import numpy as np
import pandas as pd


def passengers(n=240, seed=0):
    """A frame of the Titanic's kind, and who survived."""
    rng = np.random.default_rng(seed)
    female = rng.random(n) < 0.4
    pclass = rng.integers(1, 4, n)
    age = np.where(rng.random(n) < 0.2, np.nan, rng.normal(30, 12, n).clip(0.5))
    survived = (rng.random(n) < 1 / (1 + np.exp(3 * pclass - 4 - 4 * female))).astype(int)
    surnames = rng.choice(["Braund", "Allen", "Moran", "Palsson", "Nasser", "Bonnell"], n)
    titles = np.where(female, rng.choice(["Miss.", "Mrs."], n), "Mr.")
    boarded = pd.Timestamp("1912-04-10 08:00") + pd.to_timedelta(rng.integers(0, 4000, n), unit="min")
    frame = pd.DataFrame(
        {
            "Pclass": pclass,
            "Name": [f"{s}, {t} William{i}" for i, (s, t) in enumerate(zip(surnames, titles, strict=True))],
            "Sex": np.where(female, "female", "male"),
            "Age": age,
            "Alone": rng.random(n) < 0.6,
            "Fare": rng.exponential(30, n),
            "Ticket": [f"T{i:05d}" for i in range(n)],
            "Cabin": rng.choice(["A1", "B2", None], n, p=[0.1, 0.1, 0.8]),
            "Deck": pd.Categorical(rng.choice(["A", "B", "C"], n), categories=["A", "B", "C", "T"]),
            "Boarded": pd.Series(boarded).where(rng.random(n) < 0.9),
            "Siblings": pd.array(rng.integers(0, 3, n), dtype="Int64"),
        }
    )
    frame.loc[frame.index[::11], ["Siblings", "Name"]] = None
    return frame, survived
