"""Columns on one scale and in pieces, beside NumPy's own percentiles, interpolation and scikit-learn's scalers."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.preprocessing import RobustScaler, StandardScaler

from stackkit.nn._encoding import CLIP, Encoder, PackedEncoding, bins_for, learn_encoding

RNG = np.random.default_rng(0)
ROWS = np.column_stack(
    [
        RNG.normal(100, 5, 200),
        RNG.lognormal(0, 2, 200),
        RNG.integers(0, 2, 200),
        RNG.integers(0, 4, 200) * 10.0,
        np.full(200, 7.0),
        np.where(RNG.random(200) < 0.9, 3.0, RNG.normal(3, 1, 200)),
    ]
)
SCALINGS = [None, "standard", "robust-clip"]


def encoded(rows, scaling, n_bins, new=None):
    encoder = Encoder(learn_encoding(rows, scaling, n_bins))
    return encoder(torch.from_numpy(rows if new is None else new)).numpy()


def clipped(x):
    return x / np.sqrt(1 + (x / CLIP) ** 2)


def test_bare_columns_are_scikit_learns_scaled_ones():
    varies = [0, 1, 2, 3, 5]
    standard = StandardScaler().fit_transform(ROWS)
    np.testing.assert_allclose(encoded(ROWS, "standard", 0)[:, varies], standard[:, varies], rtol=1e-9, atol=1e-12)
    robust = clipped(RobustScaler().fit_transform(ROWS[:, :2]))
    np.testing.assert_allclose(encoded(ROWS, "robust-clip", 0)[:, :2], robust, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(encoded(ROWS, None, 0)[:, varies], ROWS[:, varies])


def test_where_the_quartiles_are_one_value_half_the_range_is_the_scale():
    column = ROWS[:, 5]
    expected = clipped((column - 3.0) / (np.ptp(column) / 2))
    np.testing.assert_allclose(encoded(ROWS, "robust-clip", 0)[:, 5], expected, rtol=1e-9)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_a_constant_column_is_zero_whatever_comes(scaling):
    assert (encoded(ROWS, scaling, 8, new=ROWS + 100)[:, 4] == 0).all()


@pytest.mark.parametrize("scaling", SCALINGS)
def test_pieces_span_every_piecewise_linear_function_between_the_quantiles(scaling):
    column = ROWS[:, :1]
    edges = np.quantile(column, np.linspace(0, 1, 6))
    new = np.linspace(edges[0] - 10, edges[-1] + 10, 300)[:, np.newaxis]
    heights = RNG.normal(size=6)
    place = new[:, 0]
    if scaling == "robust-clip":  # straight on the clipped scale
        low, middle, high = np.quantile(column, [0.25, 0.5, 0.75])
        place = clipped((place - middle) / (high - low))
        edges = np.quantile(clipped((column - middle) / (high - low)), np.linspace(0, 1, 6))
    function = np.interp(place, edges, heights)
    pieces = encoded(column, scaling, 5, new=new)[:, 1:]
    assert pieces.shape[1] == 5
    design = np.column_stack([np.ones(300), pieces])
    fitted = design @ np.linalg.lstsq(design, function, rcond=None)[0]
    np.testing.assert_allclose(fitted, function, atol=1e-8)


def test_few_values_have_a_piece_between_each_two_and_two_values_none():
    encoding = learn_encoding(ROWS, "robust-clip", 8)
    counts = np.bincount(encoding.column[ROWS.shape[1] :], minlength=6)
    assert counts[[2, 3, 4]].tolist() == [0, 3, 0]
    assert counts[0] == counts[1] == 8
    assert 1 <= counts[5] < 8  # most quantiles are one value
    apart = encoded(ROWS, "robust-clip", 8)[:, 6:][:, encoding.column[6:] == 3]
    np.testing.assert_allclose(apart + 0.5, ROWS[:, 3:4] / 10 > [0, 1, 2], atol=1e-9)


def test_no_value_is_far_off_where_columns_are_clipped():
    far = encoded(ROWS, "robust-clip", 8, new=ROWS * 1e9)
    assert np.abs(far).max() <= CLIP + 1e-9
    assert np.abs(encoded(ROWS, "standard", 8, new=ROWS * 1e9)[:, 0]).max() > 1e6


@settings(deadline=None)
@given(arrays(np.float64, (12, 3), elements=st.floats(-1e6, 1e6, width=32)), st.sampled_from(SCALINGS))
def test_encoded_columns_rise_with_their_columns(rows, scaling):
    """Whether one of them changes is told by the least and the largest value alone."""
    found = encoded(rows, scaling, 4)
    assert np.isfinite(found).all()
    column = learn_encoding(rows, scaling, 4).column
    for j, values in zip(column, found.T, strict=True):
        assert (np.diff(values[np.argsort(rows[:, j], kind="stable")]) >= 0).all()


def test_new_rows_do_not_change_what_was_learned():
    alone = encoded(ROWS, "robust-clip", 8, new=ROWS[:3])
    beside = encoded(ROWS, "robust-clip", 8, new=np.vstack([ROWS[:3], ROWS * 50]))
    np.testing.assert_array_equal(alone, beside[:3])


@pytest.mark.parametrize("scaling", SCALINGS)
def test_several_encodings_together_are_each_alone(scaling):
    widths = (6, 3, 5)
    parts = [ROWS[i * 30 : i * 30 + 120, :width] for i, width in enumerate(widths)]
    encodings = [learn_encoding(part, scaling, 4 + i) for i, part in enumerate(parts)]
    widest = max(encoding.n_encoded for encoding in encodings)
    x = torch.zeros(3, 6, 40, dtype=torch.float64)
    for own, part in zip(x, parts, strict=True):
        own[: part.shape[1]] = torch.from_numpy(part[:40].T)
    found, *_ = PackedEncoding(encodings, 6, (widest, 0, 0), x)(x)
    assert found.shape == (3, widest, 40)
    for own, encoding, part in zip(found, encodings, parts, strict=True):
        alone = Encoder(encoding)(torch.from_numpy(part[:40]))
        torch.testing.assert_close(own[: encoding.n_encoded].T, alone, rtol=0, atol=0)
        assert (own[encoding.n_encoded :] == 0).all()


def test_rows_that_all_share_are_encoded_for_each():
    encodings = [learn_encoding(ROWS[:100], "robust-clip", 4), learn_encoding(ROWS[100:], "robust-clip", 4)]
    widest = max(encoding.n_encoded for encoding in encodings)
    x = torch.from_numpy(ROWS.T).unsqueeze(0)
    pack = PackedEncoding(encodings, 6, (widest, 0, 0), x)
    found, both = pack(x), pack(x.expand(2, -1, -1).contiguous())
    torch.testing.assert_close(found, both, rtol=0, atol=0)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_columns_for_waves_are_the_bare_ones_of_quantities(scaling):
    encoding = learn_encoding(ROWS, scaling, 0, periodic=True)
    assert encoding.periodic.tolist() == [0, 1]  # not of two, four or one value, nor where nearly all are alike
    assert encoding.shape == (6, 2, 0, 0)
    rows = Encoder(encoding)(torch.from_numpy(ROWS))
    np.testing.assert_allclose(rows[:, 6:], rows[:, :2], rtol=1e-12)
    assert learn_encoding(ROWS, scaling, 0).shape == (6, 0, 0, 0)


@pytest.mark.parametrize("scaling", ["standard", "robust-clip"])
def test_missing_values_are_the_middle_of_their_column_and_are_told(scaling):
    gaps = RNG.random(ROWS.shape) < [0.2, 0.0, 0.3, 0.1, 0.5, 1.0]
    rows = np.where(gaps, np.nan, ROWS)
    encoding = learn_encoding(rows, scaling, 4, imputes=True)
    found = Encoder(encoding)(torch.from_numpy(rows)).numpy()
    assert np.isfinite(found).all()
    told = encoding.column >= 6
    assert (encoding.column[told] - 6).tolist() == [0, 2, 3, 4]  # not where none is missing, or all are
    np.testing.assert_array_equal(found[:, told] > 0, gaps[:, [0, 2, 3, 4]])
    for j in (0, 1, 2, 3):
        known = ~gaps[:, j]
        np.testing.assert_array_equal(found[gaps[:, j], j], 0.0)
        alone = learn_encoding(ROWS[known, j : j + 1], scaling, 4)
        expected = Encoder(alone)(torch.from_numpy(ROWS[known, j : j + 1])).numpy()
        np.testing.assert_allclose(found[known][:, ~told & (encoding.column == j)], expected, atol=1e-12)
    assert (found[:, ~told & (encoding.column == 5)] == 0).all()


def test_gaps_of_several_tables_are_told_each_in_its_place():
    parts = [np.where(RNG.random((50, d)) < 0.2, np.nan, ROWS[:50, :d]) for d in (2, 6)]
    encodings = [learn_encoding(part, "robust-clip", 3, imputes=True) for part in parts]
    widest = max(encoding.n_encoded for encoding in encodings)
    x = torch.zeros(2, 6, 50, dtype=torch.float64)
    for own, part in zip(x, parts, strict=True):
        own[: part.shape[1]] = torch.from_numpy(part.T)
    found, *_ = PackedEncoding(encodings, 6, (widest, 0, 0), x)(x)
    for own, encoding, part in zip(found, encodings, parts, strict=True):
        alone = Encoder(encoding)(torch.from_numpy(part))
        torch.testing.assert_close(own[: encoding.n_encoded].T, alone, rtol=0, atol=0)


def test_bins_follow_the_rows_and_leave_the_first_layer_its_width():
    def table(n_rows, n_columns):
        return np.column_stack([RNG.normal(size=(n_rows, n_columns)), RNG.integers(0, 2, (n_rows, 50))])

    assert bins_for(table(100, 10)) == 3
    assert bins_for(table(900, 10)) == 10
    assert bins_for(table(10**5, 3)) == 32
    assert bins_for(table(10**4, 500)) == 4
    assert bins_for(table(100, 80)) == 1
    assert bins_for(table(100, 0)) == 3
