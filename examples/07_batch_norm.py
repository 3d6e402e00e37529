"""What Batch Normalization does
=============================

A layer multiplies and adds. BN then takes from each unit its mean over the batch, divides by the standard deviation,
and gives the unit a scale and a shift of its own to learn. Only then comes the activation. Three experiments with
small networks on handwritten digits, each with a picture and its numbers::

    learning     Test accuracy with BN and without, over four learning rates and two bad initialisations.
    inside       Sigmoid networks: what goes into a unit during training, and the gradient of each layer.
    statistics   Predictions need fixed statistics, not a batch's: running averages, or those of all training rows?

Run it (offline, under a minute on two cores; with --quick, seconds). It takes MNIST if that is in mnist/ of the folder
that STACKKIT_DATA names, or of data/, and else scikit-learn's small digits::

    python examples/07_batch_norm.py
"""

import argparse
import copy
import os
from collections.abc import Iterator
from itertools import product

import numpy as np
import pandas as pd
import torch
from matplotlib import rcParams
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.utils import Bunch
from torch.nn.functional import cross_entropy

from stackkit.datasets import load_mnist
from stackkit.nn import BNMLP


def find_digits() -> Bunch:
    """X, a row of pixels an image, and y, what it shows; X_new and y_new to test with."""
    try:
        mnist = load_mnist(data_home=os.environ.get("STACKKIT_DATA", "data"))
        images, y, known, sizes = mnist.data, mnist.target, mnist.train.stop, (6000, 2000)
    except FileNotFoundError:
        print("MNIST is not here: these are scikit-learn's small digits, an easier task.")
        images, y, known, sizes = load_digits().images, load_digits().target, 1300, (1300, 497)
    random = np.random.default_rng(0)
    rows, new = random.permutation(known)[: sizes[0]], known + random.permutation(len(y) - known)[: sizes[1]]
    X, X_new = (torch.tensor(images[part] / images.max()).flatten(1).float() for part in (rows, new))
    print(f"{len(X)} digits of {X.shape[1]} pixels to learn from, {len(X_new)} to test with.\n")
    return Bunch(X=X, y=torch.tensor(y[rows]), X_new=X_new, y_new=torch.tensor(y[new]))


def make_network(data: Bunch, activation: str, *, bn: bool, depth: int = 3, seed: int = 0) -> BNMLP:
    """Layers of 100 units, each activation(BN(W u)) or, without BN, activation(W u + b)."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return BNMLP(data.X.shape[1], 10, [100] * depth, activation=activation, batch_norm=bn)


def train(network: BNMLP, data: Bunch, rate: float, steps: int, seed: int = 0) -> Iterator[int]:
    """Plain gradient descent; rests after each step, so that one can look."""
    descent, random = torch.optim.SGD(network.parameters(), lr=rate), torch.Generator().manual_seed(seed)
    for step in range(steps):
        if step % (len(data.X) // 60) == 0:  # an epoch: a new order, cut into batches of 60 without a small rest
            batches = iter(torch.randperm(len(data.X), generator=random).split(60))
        rows = next(batches)
        network.train()  # BN takes the batch's own mean and variance
        loss = cross_entropy(network(data.X[rows]), data.y[rows])
        descent.zero_grad()
        loss.backward()
        descent.step()
        yield step + 1


@torch.no_grad()
def test(network: BNMLP, data: Bunch) -> tuple[float, float]:
    """Accuracy and loss on the new digits."""
    output = network.eval()(data.X_new)  # BN takes running averages, which lag behind at first: see statistics()
    return (output.argmax(1) == data.y_new).float().mean().item(), cross_entropy(output, data.y_new).item()


@torch.no_grad()
def with_population_statistics(network: BNMLP, X: torch.Tensor) -> BNMLP:
    """Take the mean over all batches of their means and unbiased variances, in a copy; no weight moves."""
    network = copy.deepcopy(network).train()
    for norm in network.norms:
        norm.reset_running_stats()
        norm.momentum = None  # PyTorch's word for the plain mean
    for batch in X.split(60):
        network(batch)
    return network


# %%
# Three experiments: each draws a picture, prints its numbers and returns what was seen
# -------------------------------------------------------------------------------------
rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#E3E3E3"})
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"  # told apart by colour-blind people; line styles differ too
WAYS = {"with BN": (True, BLUE, "-"), "without BN": (False, ORANGE, "--")}
SETTINGS = {f"rate {rate:g}": (rate, 1.0) for rate in (0.001, 0.01, 0.1, 1.0)}  # and a factor for the first weights
SETTINGS |= {"rate 0.1, weights x 10": (0.1, 10.0), "rate 0.1, weights / 10": (0.1, 0.1)}
LOOKS = [1, 2, 3, 5, 7, 10, 14, 20, 30, 50, 70, 100, 140, 200, 300, 500, 700]  # steps after which to look


def learning(data: Bunch, steps: int) -> str:
    figure, ends, firsts = Figure(figsize=(13, 5), layout="constrained"), pd.DataFrame(), pd.DataFrame()
    panels = figure.subplots(2, len(SETTINGS), sharex=True, sharey=True).flat
    for axes, (activation, setting) in zip(panels, product(("sigmoid", "ReLU"), SETTINGS), strict=True):
        (rate, factor), net = SETTINGS[setting], f"{activation}, {setting}"
        for way, (bn, color, style) in WAYS.items():
            network = make_network(data, activation.lower(), bn=bn)
            for layer in [*network.linears, network.output]:
                layer.weight.data *= factor
            curve = {s: test(network, data)[0] for s in train(network, data, rate, steps) if s in LOOKS}
            ends.loc[net, way] = curve[steps]
            firsts.loc[net, way] = next((s for s, accuracy in curve.items() if accuracy >= 0.8), np.nan)
            axes.plot(curve.keys(), curve.values(), color=color, linestyle=style, label=way)
        axes.set(xscale="log", xlabel="step", ylim=(0, 1), ylabel=f"{activation}: test accuracy")
        axes.set_title(setting.replace(", ", "\n") if activation == "sigmoid" else "")
        axes.label_outer()
    table = pd.concat({f"after {steps} steps": ends, "steps to 80%": firsts}, axis=1)
    finish(figure, "learning", "Test accuracy with BN and without, by learning rate and first weights", table)
    times, ahead = (firsts["without BN"] / firsts["with BN"]).dropna(), ends["with BN"] > ends["without BN"]
    slower = f", in {times.min():.3g} to {times.max():.3g} times the steps where both did" if len(times) else ""
    return (
        f"With BN {firsts['with BN'].count()} of {len(ends)} nets got to 80%, without {firsts['without BN'].count()}"
        f"{slower}; those with BN ended ahead, except: {'; '.join(ends.index[~ahead]) or 'none'}."
    )


def inside(data: Bunch, steps: int) -> str:
    figure, inputs, gradients = Figure(figsize=(13, 4.4), layout="constrained"), {}, pd.DataFrame(index=range(1, 9))
    *panels, right = figure.subplots(1, 3)
    for axes, (way, (bn, color, style)) in zip(panels, WAYS.items(), strict=True):
        network = make_network(data, "sigmoid", bn=bn)
        table = inputs[way] = pd.DataFrame(columns=["15%", "50%", "85%"], dtype=float)
        for step in train(network, data, 1.0, steps):
            if step in LOOKS:
                x = data.X[:1000]  # the same rows each time, normalized by their own mean and variance
                for linear, norm in zip(network.linears, network.norms, strict=True):
                    u = norm(linear(x))
                    x = network.activation(u)
                table.loc[step] = np.percentile(u[:, 0].detach(), [15, 50, 85])  # what goes into one sigmoid
        axes.plot(table, color=color, linestyle=style)
        axes.fill_between(table.index, table["15%"], table["85%"], color=color, alpha=0.2)
        axes.set(xscale="log", xlabel="step", ylim=(-5, 3), title=f"{way}: 15th, 50th, 85th percentile")
        deep = [make_network(data, "sigmoid", bn=bn, depth=8, seed=seed) for seed in range(5)]
        for one in deep:
            cross_entropy(one(data.X[:1000]), data.y[:1000]).backward()
        gradients[way] = np.mean([[layer.weight.grad.norm().item() for layer in one.linears] for one in deep], axis=0)
        right.semilogy(gradients[way], color=color, linestyle=style, marker="o", label=way)
    right.set(xlabel="layer (1 takes the pixels)", title="norm of the gradient before training")
    tables = pd.concat(inputs, axis=1).iloc[::-4][::-1].rename_axis("step"), gradients.rename_axis("layer")
    finish(figure, "inside", "Sigmoid nets: what goes into a unit while learning, and 8 layers' gradients", *tables)
    return "In sigmoid nets, " + "; ".join(
        f"{way} the first of 8 layers had {gradients[way][1] / gradients[way][8]:.2g} times the gradient of the last, "
        f"and while learning a unit's median input went from {table['50%'][1]:.2f} to {table['50%'][steps]:.2f}"
        for way, table in inputs.items()
    )


def statistics(data: Bunch, steps: int) -> str:
    kinds = {"momentum 0.01": (ORANGE, "--"), "momentum 0.1": (BLUE, ":"), "population": (GREEN, "-")}
    runs = []
    for seed, momentum in product(range(3), (0.01, 0.1)):  # share of the new batch; Keras' 0.99 is that of the old
        network = make_network(data, "relu", bn=True, seed=seed)
        for norm in network.norms:
            norm.momentum = momentum
        for step in train(network, data, 0.1, steps, seed):
            if step in LOOKS[5:]:
                runs.append((step, f"momentum {momentum}", *test(network, data)))
                if momentum == 0.1:  # no matter which: the weights are the same
                    runs.append((step, "population", *test(with_population_statistics(network, data.X), data)))
    table = pd.DataFrame(runs, columns=["step", "kind", "test accuracy", "test loss"])
    table = table.pivot_table(index="step", columns="kind").reindex(columns=kinds, level=1)
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    for axes, score in zip(figure.subplots(1, 2), ("test accuracy", "test loss"), strict=True):
        for kind, (color, style) in kinds.items():
            axes.plot(table[score, kind], color=color, linestyle=style, marker="o", label=kind)
        axes.set(xscale="log", xlabel="step", ylabel=score)
    finish(figure, "statistics", "Predicting with running averages or population statistics (mean of 3 nets)", table)
    early, late = table["test accuracy"].loc[30], table["test accuracy"].loc[steps]
    return (
        f"After 30 steps the same nets were right in {', '.join(f'{v:.1%} ({k})' for k, v in early.items())} of cases; "
        f"after {steps} steps the three kinds of statistics lay {100 * np.ptp(late):.1f} percentage points apart."
    )


CAPTIONS = {
    "learning": "Where the blue line is above the orange one, the network with BN is ahead; most of all at rates and "
    "first weights at which the one without hardly learns.",
    "inside": "Left and middle: with BN a unit's inputs stay where the sigmoid bends; without, they drift away. Right: "
    "without BN the first layers get hardly any gradient.",
    "statistics": "Running averages lag behind at first, the more the smaller the momentum; population statistics do "
    "not.",
}


def finish(figure: Figure, name: str, title: str, *tables: pd.DataFrame) -> None:
    figure.suptitle(title, x=0.01, ha="left", weight="bold")
    figure.legend(*figure.axes[-1].get_legend_handles_labels(), loc="outside lower left", ncols=3, frameon=False)
    figure.savefig(f"batch_norm_{name}.png", dpi=120, metadata={"Description": CAPTIONS[name]})
    shown = [table.to_string(float_format="{:.3g}".format, na_rep="never") for table in tables]
    print(f"{title}:", *shown, f"Picture: batch_norm_{name}.png", sep="\n\n", end="\n\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What Batch Normalization does, in three experiments.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the steps")
    n_steps, digits = 70 if parser.parse_args().quick else 700, find_digits()
    torch.set_num_threads(1)  # faster than two for networks this small
    sentences = [experiment(digits, n_steps) for experiment in (learning, inside, statistics)]
    print("What was seen:\n\n- " + "\n- ".join(sentences))
