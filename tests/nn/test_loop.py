import copy
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from lessons import (
    as_plain,
    assert_same_state,
    gather_by_hand,
    generator_like,
    make_lesson,
    make_pupil,
    make_table,
    plain_batches,
    train_by_hand,
)
from sklearn.metrics import accuracy_score, r2_score
from skorch.callbacks import Callback, Checkpoint, EarlyStopping, EpochScoring, EpochTimer
from torch import nn

from stackkit.nn import _loop as _training
from stackkit.nn._autograd_engine import Solo
from stackkit.nn._config import Recipe
from stackkit.nn._loop import _engines, train
from stackkit.nn._modules import BNMLP
from stackkit.nn._network_state import TrainingTable, load_state, state_of
from stackkit.nn._packed_engine import PackedMLP

N_TRAIN, N_VALID = (50, 47, 49, 45), 10  # as many batches in all folds
TABLE = make_table(n=80)


def recipe(**settings):
    defaults = {"classifier": True, "max_epochs": 5, "batch_size": 8, "lr": 0.02, "population": False}
    return Recipe(**(defaults | settings))


def mlp():
    return BNMLP(4, 3, (6, 5))


def own():
    """A network that cannot be packed."""
    return nn.Sequential(nn.Linear(4, 6, bias=False), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))


each_kind = pytest.mark.parametrize("make", [mlp, own], ids=["packed", "solo"])


def fold(i):
    """Rows to learn from, and rows to validate on."""
    shuffled = torch.randperm(80, generator=torch.Generator().manual_seed(i)).numpy()
    return shuffled[: N_TRAIN[i]], shuffled[-N_VALID:]


def lesson_of(i=0, *, make=mlp, valid=True, seeds=None, table=TABLE, **options):
    rows, stop_by = fold(i)
    seeds = (i,) if seeds is None else seeds
    return make_lesson(table, rows, make=make, seeds=seeds, valid=stop_by if valid else None, **options)


def members_of(lesson):
    return list(lesson.net.module_.members)


def plain_of(network_state):
    """A network before it is trained, and the same as a chain of torch's layers."""
    return (
        as_plain(network_state.network)
        if isinstance(network_state.network, BNMLP)
        else [copy.deepcopy(network_state.network)] * 2
    )


def by_hand(lesson, recipe, i=0):
    """Epochs of a plain loop, and the network they belong to; to be asked for before the lesson begins."""
    twin, plain = plain_of(lesson.network_states[i])
    return train_by_hand(plain, lesson.network_states[i], recipe), twin, plain


# --- early stopping -----------------------------------------------------------------------------------------

STOPPING = recipe(patience=2, max_epochs=40, lr=0.1, tol=1e-3)


def stop_by_the_rule(losses, patience, tol):
    """How many epochs there are, and which one was the best."""
    since = 0
    for epoch, loss in enumerate(losses):
        since = 0 if epoch == 0 or loss < min(losses[:epoch]) - tol else since + 1
        if since == patience:
            return epoch + 1, int(np.argmin(losses[: epoch + 1]))
    return len(losses), int(np.argmin(losses))


@each_kind
def test_each_network_stops_by_its_own_rows_and_ends_with_its_best_state(make):
    lessons = [lesson_of(i, make=make) for i in range(4)]
    plain = [by_hand(lesson, STOPPING) for lesson in lessons]
    train(lessons, STOPPING)
    stops = []
    for lesson, (epochs, twin, chain) in zip(lessons, plain, strict=True):
        losses = [epoch["valid"] for epoch in epochs]
        stop, best = stop_by_the_rule(losses, STOPPING.patience, STOPPING.tol)
        assert len(lesson.net.history) == stop
        assert lesson.net.history[:, "valid_loss"] == pytest.approx(losses[:stop], abs=1e-9)
        chain.load_state_dict(epochs[best]["state"])
        assert_same_state(members_of(lesson)[0], twin)
        assert best < stop - 1
        stops.append(stop)
    assert len(set(stops)) > 1


@pytest.mark.parametrize("population", [False, True], ids=["running", "population"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_folds_trained_together_stop_and_end_as_each_alone(population, dropout):
    how = replace(STOPPING, population=population)
    options = {"make": lambda: BNMLP(4, 3, (6, 5), dropout=dropout)}
    together = [lesson_of(i, **options) for i in range(4)]
    train(together, how)
    for i, lesson in enumerate(together):
        alone = lesson_of(i, **options)
        train([alone], how)
        assert len(lesson.net.history) == len(alone.net.history)
        assert_same_state(members_of(lesson)[0], members_of(alone)[0], 1e-10)
    assert len({len(lesson.net.history) for lesson in together}) > 1


def test_finished_networks_leave_the_pack(monkeypatch):
    sizes, epoch_of = [], PackedMLP.epoch

    def spy(self, epoch):
        sizes.append(len(self.network_states))
        return epoch_of(self, epoch)

    monkeypatch.setattr(PackedMLP, "epoch", spy)
    lessons = [lesson_of(i) for i in range(4)]
    train(lessons, STOPPING)
    lengths = [len(lesson.net.history) for lesson in lessons]
    assert sizes == [sum(length > epoch for length in lengths) for epoch in range(max(lengths))]


def test_members_of_one_net_stop_each_at_its_own_time_and_the_net_with_the_last():
    lesson = lesson_of(0, seeds=(1, 2, 3))
    train([lesson], STOPPING)
    lengths = []
    for member, seed in zip(members_of(lesson), (1, 2, 3), strict=True):
        alone = lesson_of(0, seeds=(seed,))
        train([alone], STOPPING)
        assert_same_state(member, members_of(alone)[0], 1e-10)
        lengths.append(len(alone.net.history))
    assert len(set(lengths)) > 1
    assert len(lesson.net.history) == max(lengths)


def test_where_no_loss_is_better_by_tol_training_stops_and_the_best_state_is_kept_all_the_same():
    how = recipe(patience=3, max_epochs=20, tol=100.0)
    lesson = lesson_of(0)
    epochs, twin, plain = by_hand(lesson, replace(how, max_epochs=4))
    train([lesson], how)
    assert len(lesson.net.history) == 4
    best = int(np.argmin([epoch["valid"] for epoch in epochs]))
    assert best > 0
    plain.load_state_dict(epochs[best]["state"])
    assert_same_state(members_of(lesson)[0], twin)


def test_patience_that_never_ends_trains_to_the_last_epoch_and_still_restores_the_best():
    how = replace(STOPPING, patience=100, max_epochs=15)
    lesson = lesson_of(1)
    epochs, twin, plain = by_hand(lesson, how)
    train([lesson], how)
    losses = [epoch["valid"] for epoch in epochs]
    plain.load_state_dict(epochs[stop_by_the_rule(losses, 100, how.tol)[1]]["state"])
    assert len(lesson.net.history) == 15
    assert_same_state(members_of(lesson)[0], twin)


# --- snapshots ----------------------------------------------------------------------------------------------


@each_kind
def test_a_member_stays_behind_at_the_end_of_each_cycle_as_it_was_then(make):
    how = recipe(max_epochs=7, cycles=3)
    lesson = lesson_of(0, make=make, valid=False)
    epochs, twin, plain = by_hand(lesson, how)
    train([lesson], how)
    members = members_of(lesson)
    assert len(members) == 3
    for member, epoch in zip(members, (2, 5, 7), strict=True):
        plain.load_state_dict(epochs[epoch - 1]["state"])
        assert_same_state(member, twin)
    states = [state_of(member)[0] for member in members]
    assert not any(torch.equal(a, b) for a, b in pairwise(states))


def test_snapshots_share_no_memory_and_come_from_each_member():
    lesson = lesson_of(0, valid=False, seeds=(1, 2))
    train([lesson], recipe(max_epochs=4, cycles=2, schedule="cosine"))
    members = members_of(lesson)
    assert len(members) == 4
    places = {tensor.data_ptr() for member in members for tensor in state_of(member)}
    assert len(places) == 4 * len(state_of(members[0]))
    for pair, seed in ((members[:2], 1), (members[2:], 2)):
        alone = lesson_of(0, valid=False, seeds=(seed,))
        train([alone], recipe(max_epochs=4, cycles=2, schedule="cosine"))
        for found, expected in zip(pair, members_of(alone), strict=True):
            assert_same_state(found, expected, 1e-10)


@each_kind
def test_each_snapshot_has_its_own_final_statistics(make):
    how = recipe(max_epochs=4, cycles=2)
    lesson, bare = lesson_of(0, make=make, valid=False), lesson_of(0, make=make, valid=False)
    train([bare], how)
    train([lesson], replace(how, population=True))
    network_state = bare.network_states[0]
    for found, expected in zip(members_of(lesson), members_of(bare), strict=True):
        twin, plain = plain_of(make_pupil(expected, TABLE))
        gather_by_hand(
            plain, plain_batches(network_state.train, network_state.order, 8), TABLE.inputs
        )  # one after the other
        assert_same_state(found, twin)


# --- skorch's history ---------------------------------------------------------------------------------------


@each_kind
@pytest.mark.parametrize("patience", [None, 50], ids=["", "validated"])
def test_the_history_has_the_losses_of_every_epoch_members_averaged(make, patience):
    how = recipe(patience=patience)
    lesson = lesson_of(0, make=make, seeds=(1, 2), valid=patience is not None)
    plain = [by_hand(lesson, how, i)[0] for i in range(2)]
    train([lesson], how)
    history = lesson.net.history
    assert history[:, "epoch"] == [1, 2, 3, 4, 5]
    assert all(seconds >= 0 for seconds in history[:, "dur"])
    for name in ("train", "valid") if patience else ("train",):
        means = [(a[name] + b[name]) / 2 for a, b in zip(*plain, strict=True)]
        assert history[:, f"{name}_loss"] == pytest.approx(means, rel=1e-6)
        assert history[:, f"{name}_loss_best"][0]
        rows = {"train": 50, "valid": 10}[name]
        assert history[:, "batches", :, f"{name}_batch_size"] == [[rows]] * 5
    assert ("valid_loss" in history[-1]) == (patience is not None)


def test_nets_of_one_training_have_histories_of_their_own():
    lessons = [lesson_of(i, valid=False) for i in range(4)]
    train(lessons, recipe())
    losses = [tuple(lesson.net.history[:, "train_loss"]) for lesson in lessons]
    assert len(set(losses)) == 4


def test_a_printed_log_has_a_line_an_epoch(capsys):
    train([lesson_of(0, verbose=1)], recipe(patience=50, max_epochs=3))
    out = capsys.readouterr().out.splitlines()
    assert out[0].split() == ["epoch", "train_loss", "valid_loss", "dur"]
    assert [line.split()[0] for line in out[2:]] == ["1", "2", "3"]


# --- skorch's callbacks -------------------------------------------------------------------------------------


class Spy(Callback):
    """Looks at the net at the end of each epoch."""

    def __init__(self, x=TABLE.inputs, stop_after=None):
        self.x, self.stop_after = x, stop_after
        self.calls, self.answers, self.weights, self.proba = [], [], [], []

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self.calls.append("train begins")

    def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        self.calls.append("epoch begins")

    def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        self.calls.append("epoch ends")
        self.datasets = dataset_train, dataset_valid
        self.weights.append([tensor.clone() for tensor in state_of(net.module_)])
        with torch.no_grad():
            self.answers.append(net.module_.eval()(self.x))
        self.proba.append(net.predict_proba(self.x))
        if self.stop_after == len(self.answers):
            raise KeyboardInterrupt

    def on_train_end(self, net, X=None, y=None, **kwargs):
        self.calls.append("train ends")


@each_kind
@pytest.mark.parametrize("patience", [None, 50], ids=["", "validated"])
def test_callbacks_see_the_module_as_it_is_after_each_epoch(make, patience):
    spy = Spy()
    how = recipe(patience=patience)
    lesson = lesson_of(0, make=make, valid=patience is not None, callbacks=[spy])
    epochs, _, plain = by_hand(lesson, how)
    train([lesson], how)
    for found, proba, epoch in zip(spy.answers, spy.proba, epochs, strict=True):
        plain.load_state_dict(epoch["state"])
        with torch.no_grad():
            expected = plain.eval()(TABLE.inputs).log_softmax(1)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(proba, expected.exp().numpy(), rtol=1e-6)
    assert all(not torch.equal(a[0], b[0]) for a, b in pairwise(spy.weights))


def test_callbacks_see_the_averaged_weights_and_training_goes_on_from_its_own():
    spy, how = Spy(), recipe(ema_decay=0.9)
    watched, unwatched = lesson_of(0, make=own, callbacks=[spy]), lesson_of(0, make=own)
    for lesson in (watched, unwatched):
        train([lesson], how)
    assert_same_state(members_of(watched)[0], members_of(unwatched)[0], 0)
    for found, expected in zip(spy.weights[-1], state_of(members_of(watched)[0]), strict=True):
        assert torch.equal(found, expected)
    plain = lesson_of(0, make=own)
    train([plain], replace(how, ema_decay=None))
    assert watched.net.history[:, "train_loss"] == plain.net.history[:, "train_loss"]


@each_kind
def test_callbacks_change_nothing_about_the_training(make):
    # they put the module into inference, and draw random numbers
    class Draws(Spy):
        def on_epoch_begin(self, net, **kwargs):
            torch.rand(3)

    watched, unwatched = lesson_of(0, make=make, callbacks=[Draws()]), lesson_of(0, make=make)
    for lesson in (watched, unwatched):
        train([lesson], recipe(population=True))
    assert_same_state(members_of(watched)[0], members_of(unwatched)[0], 0)


def test_callbacks_are_called_as_skorch_calls_them():
    spy = Spy()
    train([lesson_of(0, callbacks=[spy])], recipe(max_epochs=2))
    assert spy.calls == ["train begins", *["epoch begins", "epoch ends"] * 2, "train ends"]


def test_callbacks_get_the_rows_learned_from_and_the_rows_set_aside():
    spy, (rows, stop_by) = Spy(), fold(0)
    train([lesson_of(0, callbacks=[spy])], recipe(max_epochs=1))
    for dataset, own_rows in zip(spy.datasets, (rows, stop_by), strict=True):
        assert torch.equal(dataset.X, TABLE.inputs[own_rows])
        assert torch.equal(dataset.y, TABLE.targets[own_rows].argmax(1))
    train([lesson_of(0, callbacks=[spy], valid=False)], recipe(max_epochs=1))
    assert spy.datasets[1] is None


@each_kind
def test_epoch_scoring_scores_each_epochs_network_on_both_parts(make):
    rows, stop_by = fold(0)
    scoring = [
        EpochScoring("accuracy", on_train=True, name="train_acc", lower_is_better=False),
        EpochScoring("accuracy", name="valid_acc", lower_is_better=False),
    ]
    lesson = lesson_of(0, make=make, callbacks=scoring)
    epochs, _, plain = by_hand(lesson, recipe())
    train([lesson], recipe(patience=50))
    for name, own_rows in (("train_acc", rows), ("valid_acc", stop_by)):
        expected = []
        for epoch in epochs:
            plain.load_state_dict(epoch["state"])
            predicted = plain.eval()(TABLE.inputs[own_rows]).argmax(1)
            expected.append(accuracy_score(TABLE.targets[own_rows].argmax(1), predicted))
        assert lesson.net.history[:, name] == pytest.approx(expected)
        assert len(set(expected)) > 1


def values_on_the_users_scale():
    """Another scale in each column; the rest of what a lesson on them needs."""
    values = make_table(n=80, classifier=False).targets.numpy() * [1.0, 100.0, 0.01] + [0.0, 1e4, -5.0]
    mean, scale = values.mean(0), values.std(0)
    table = TrainingTable(TABLE.inputs, torch.from_numpy((values - mean) / scale), mean, scale)
    rows, _ = fold(0)
    affine = values[rows].mean(0), values[rows].std(0)
    return values, {
        "table": table,
        "classifier": False,
        "output_affine": affine,
        "target_affine": table.seen(affine),
    }


@pytest.mark.filterwarnings("ignore:__array_wrap__")  # the bug below
def test_epoch_scoring_of_values_is_on_the_users_scale():
    values, options = values_on_the_users_scale()
    rows, stop_by = fold(0)
    spy = Spy()
    scoring = [EpochScoring(name, name=name, lower_is_better=False) for name in ("neg_mean_squared_error", "r2")]
    lesson = lesson_of(0, callbacks=[*scoring, spy], **options)
    train([lesson], recipe(classifier=False, max_epochs=30, patience=50))
    np.testing.assert_allclose(spy.datasets[0].y, values[rows])
    np.testing.assert_allclose(spy.datasets[1].y, values[stop_by])
    predicted = [answers.numpy()[stop_by] for answers in spy.answers]
    expected = [-((answer - values[stop_by]) ** 2).mean() for answer in predicted]
    assert lesson.net.history[:, "neg_mean_squared_error"] == pytest.approx(expected, rel=1e-5)
    assert lesson.net.history[:, "r2"] == pytest.approx([r2_score(values[stop_by], p) for p in predicted], rel=1e-4)
    assert lesson.net.history[-1, "r2"] > 0.5


def test_callbacks_of_a_regressor_raise_no_warning():
    _, options = values_on_the_users_scale()
    train([lesson_of(0, callbacks=[Spy()], **options)], recipe(classifier=False))


@each_kind
def test_checkpoint_saves_the_epoch_it_was_told_to(make, tmp_path):
    spy = Spy()
    saving = Checkpoint(dirname=tmp_path, f_params="params.pt", monitor="valid_loss_best")
    lesson = lesson_of(0, make=make, callbacks=[saving, spy])
    train([lesson], replace(STOPPING, patience=3))
    best = int(np.argmin(lesson.net.history[:, "valid_loss"]))
    assert lesson.net.history[:, "event_cp"][best] is True
    saved = copy.deepcopy(lesson.net.module_)
    saved.load_state_dict(torch.load(tmp_path / "params.pt"))
    assert all(torch.equal(a, b) for a, b in zip(state_of(saved), spy.weights[best], strict=True))
    assert best < len(lesson.net.history) - 1


def test_checkpoint_can_bring_its_epoch_back_at_the_end(tmp_path):
    spy = Spy()
    saving = Checkpoint(dirname=tmp_path, monitor=lambda net: len(net.history) == 2, load_best=True)
    lesson = lesson_of(0, valid=False, callbacks=[saving, spy])
    train([lesson], recipe())
    assert all(torch.equal(a, b) for a, b in zip(state_of(lesson.net.module_), spy.weights[1], strict=True))


@each_kind
def test_skorchs_early_stopping_ends_its_own_net_alone(make):
    # a loss that falls by less than half counts as none
    stopping = EarlyStopping(monitor="train_loss", patience=2, threshold=0.5)
    lessons = [lesson_of(i, make=make, valid=False, callbacks=[stopping] if i == 1 else None) for i in range(3)]
    alone = [lesson_of(i, make=make, valid=False) for i in range(3)]
    train(lessons, recipe(max_epochs=8))
    assert [len(lesson.net.history) for lesson in lessons] == [8, 3, 8]
    for i, epochs in enumerate((8, 3, 8)):
        train([alone[i]], recipe(max_epochs=epochs))
        assert_same_state(members_of(lessons[i])[0], members_of(alone[i])[0], 1e-10)


def test_skorchs_early_stopping_can_bring_the_best_epoch_back():
    spy = Spy()
    stopping = EarlyStopping(monitor="valid_loss", patience=3, load_best=True)
    lesson = lesson_of(0, callbacks=[spy, stopping])
    train([lesson], recipe(patience=100, max_epochs=40, lr=0.1))
    losses = lesson.net.history[:, "valid_loss"]
    assert len(losses) < 40
    best = spy.weights[int(np.argmin(losses))]
    assert all(torch.equal(a, b) for a, b in zip(state_of(lesson.net.module_), best, strict=True))


def test_an_epoch_timer_of_ones_own_measures_too():
    lesson = lesson_of(0, callbacks=[("timer", EpochTimer())])
    train([lesson], recipe())
    assert all(0 < seconds < 60 for seconds in lesson.net.history[:, "dur"])


@each_kind
def test_an_interrupt_in_a_callback_ends_its_net_where_it_is_and_the_others_go_on(make):
    spies = [Spy(), Spy(stop_after=2), Spy(stop_after=4)]
    lessons = [lesson_of(i, make=make, valid=False, callbacks=[spy]) for i, spy in enumerate(spies)]
    train(lessons, recipe(max_epochs=6))
    assert [len(lesson.net.history) for lesson in lessons] == [6, 2, 4]
    for spy, lesson in zip(spies, lessons, strict=True):
        assert spy.calls[1:-1] == ["epoch begins", "epoch ends"] * len(lesson.net.history)
        assert spy.calls[-1] == "train ends"
        assert all(torch.equal(a, b) for a, b in zip(state_of(lesson.net.module_), spy.weights[-1], strict=True))
    undisturbed = lesson_of(0, make=make, valid=False)
    train([undisturbed], recipe(max_epochs=6))
    assert_same_state(members_of(lessons[0])[0], members_of(undisturbed)[0], 1e-10)


def test_an_interrupt_of_all_nets_ends_the_training():
    lessons = [lesson_of(i, callbacks=[Spy(stop_after=1)]) for i in range(3)]
    train(lessons, recipe(max_epochs=100))
    assert [len(lesson.net.history) for lesson in lessons] == [1, 1, 1]


def test_an_interrupted_validated_net_ends_with_its_best_state():
    spy = Spy(stop_after=12)
    lesson = lesson_of(1, callbacks=[spy])
    train([lesson], replace(STOPPING, patience=100, tol=0.0))
    best = spy.weights[int(np.argmin(lesson.net.history[:, "valid_loss"]))]
    assert not torch.equal(best[0], spy.weights[-1][0])
    assert all(torch.equal(a, b) for a, b in zip(state_of(lesson.net.module_), best, strict=True))


def test_another_error_in_a_callback_is_raised():
    class Broken(Callback):
        def on_epoch_end(self, net, **kwargs):
            raise ZeroDivisionError("in a callback")

    with pytest.raises(ZeroDivisionError, match="in a callback"):
        train([lesson_of(0, callbacks=[Broken()])], recipe())


# --- what goes wrong ----------------------------------------------------------------------------------------


@each_kind
def test_a_training_that_diverges_says_so_and_names_the_learning_rate(make):
    lesson = make_lesson(make_table(classifier=False), range(45), make=make, classifier=False)
    with pytest.raises(ValueError, match=r"diverged: the loss of epoch \d+ is (nan|inf).*smaller lr \(it is 1e\+30\)"):
        train([lesson], recipe(classifier=False, optimizer="sgd", lr=1e30))


# --- who is trained with whom -------------------------------------------------------------------------------


def pupils_of(n, make=mlp, table=TABLE, lengths=None):
    lengths = [50] * n if lengths is None else lengths
    return [make_pupil(make().double(), table, range(length), seed=i) for i, length in enumerate(lengths)]


def sizes_of(engines):
    return [(type(engine), len(engine.network_states)) for engine in engines]


@pytest.mark.parametrize(("n", "packs"), [(1, [1]), (25, [25]), (26, [13, 13]), (60, [20, 20, 20])])
def test_packs_are_as_few_as_fit_and_of_like_sizes(n, packs):
    assert sizes_of(_engines(pupils_of(n), recipe())) == [(PackedMLP, size) for size in packs]


def test_networks_of_one_pack_make_as_many_steps_on_one_table():
    other = make_table(n=80, seed=9)
    network_states = pupils_of(5, lengths=[50, 20, 49, 21, 60]) + pupils_of(2, table=other)
    engines = _engines(network_states, recipe())
    groups = {tuple(len(network_state.train) for network_state in engine.network_states) for engine in engines}
    assert groups == {(50, 49), (21, 20), (60,), (50, 50)}  # the longest first
    assert all(len({id(network_state.table) for network_state in engine.network_states}) == 1 for engine in engines)
    assert {id(p) for engine in engines for p in engine.network_states} == {id(p) for p in network_states}


def test_optimizers_of_ones_own_train_one_by_one():
    assert sizes_of(_engines(pupils_of(3), recipe(optimizer=torch.optim.Adam))) == [(Solo, 1)] * 3


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "muon"])
def test_the_optimizers_that_have_names_are_packed(optimizer):
    assert sizes_of(_engines(pupils_of(3), recipe(optimizer=optimizer))) == [(PackedMLP, 3)]


def test_networks_of_ones_own_are_trained_one_by_one():
    assert sizes_of(_engines(pupils_of(3, make=own), recipe())) == [(Solo, 1)] * 3


def test_how_networks_are_split_over_packs_does_not_show(monkeypatch):
    whole = [lesson_of(i) for i in range(4)]
    train(whole, recipe(population=True, patience=2))
    monkeypatch.setattr(_training, "pack_size", lambda *_: 2)
    split = [lesson_of(i) for i in range(4)]
    train(split, recipe(population=True, patience=2))
    for a, b in zip(whole, split, strict=True):
        assert_same_state(members_of(a)[0], members_of(b)[0], 1e-10)


class Reversed(BNMLP):
    """A network of one's own that is made of ours."""

    def forward(self, x):
        return super().forward(-x.abs())


def test_a_network_of_ones_own_that_inherits_from_ours_is_trained_by_its_own_forward():
    lesson = lesson_of(0, make=lambda: Reversed(4, 3, (6,)), valid=False)
    twin = copy.deepcopy(lesson.network_states[0].network)
    train_by_hand(twin, lesson.network_states[0], recipe())
    train([lesson], recipe())
    assert_same_state(members_of(lesson)[0], twin)


# --- afterwards ---------------------------------------------------------------------------------------------


@each_kind
def test_final_statistics_are_those_of_the_whole_part_with_the_final_weights(make):
    how = recipe(population=True)
    lessons = [lesson_of(i, make=make, valid=False) for i in range(4)]
    twins = [by_hand(lesson, how)[1] for lesson in lessons]
    train(lessons, how)
    for lesson, twin in zip(lessons, twins, strict=True):
        assert_same_state(members_of(lesson)[0], twin)


@each_kind
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_net_that_is_to_go_on_keeps_its_optimizers_moments(make, optimizer):
    how = recipe(optimizer=optimizer, max_epochs=2)
    lesson = lesson_of(0, make=make, valid=False, remembers=True)
    twin, plain = plain_of(lesson.network_states[0])
    train_by_hand(plain, lesson.network_states[0], replace(how, max_epochs=4))
    train([lesson], how)
    network_state = lesson.network_states[0]
    order = generator_like(network_state.order)
    assert set(lesson.net.optimizer_.state) == set(lesson.net.module_.parameters())
    again = replace(network_state, moments=dict(lesson.net.optimizer_.state), kept=[], losses={}, order=order)
    lesson.network_states = [again]
    lesson.finished = False
    train([lesson], how)
    assert_same_state(members_of(lesson)[0], twin)
    assert len(lesson.net.history) == 4


def test_a_net_that_is_not_to_go_on_keeps_none():
    lesson = lesson_of(0)
    train([lesson], recipe())
    assert not lesson.net.optimizer_.state


def test_the_trained_net_is_skorchs_to_predict_with_and_to_save(tmp_path):
    lesson, fresh = lesson_of(0, seeds=(1, 2)), lesson_of(0, seeds=(3, 4))
    train([lesson], recipe(population=True))
    lesson.net.save_params(f_params=tmp_path / "params.pt")
    fresh.net.load_params(f_params=tmp_path / "params.pt")
    found = fresh.net.predict_proba(TABLE.inputs)
    np.testing.assert_array_equal(found, lesson.net.predict_proba(TABLE.inputs))
    members = [member.eval()(TABLE.inputs).softmax(1) for member in members_of(lesson)]
    np.testing.assert_allclose(found, torch.stack(members).mean(0).detach().numpy(), rtol=1e-9)
    assert len(np.unique(lesson.net.predict(TABLE.inputs))) == 3


def test_the_state_kept_is_a_copy():
    lesson = lesson_of(0, valid=False)
    train([lesson], recipe())
    kept = lesson.network_states[0].kept[0]
    before = [tensor.clone() for tensor in kept]
    load_state(members_of(lesson)[0], [torch.zeros_like(tensor) for tensor in kept])
    assert all(torch.equal(a, b) for a, b in zip(kept, before, strict=True))
