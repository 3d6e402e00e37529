import pytest
import torch
from torch.linalg import svdvals

from stackkit.nn._modules import BNCNN, BNMLP, ConvBlock
from stackkit.nn._packed_optimizers import Group, _orthogonal, optimizers_of

SHAPES = [(7, 4), (4, 7), (6, 6), (64, 20), (1, 5), (5, 1)]


def draws(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def moved(shape, dtype):
    """Three matrices after four steps, packed and by torch alone; the second has fewer columns, and zeros behind."""
    (rows, columns), n = shape, 3
    widths = [columns, max(1, columns - 2), columns]
    theta, buffer = draws(n, rows, columns).to(dtype), torch.zeros(n, rows, columns, dtype=dtype)
    gradients = draws(4, n, rows, columns, seed=1).to(dtype)
    for i, width in enumerate(widths):
        theta[i, :, width:] = gradients[:, i, :, width:] = 0.0
    start = theta.clone()
    alone = [theta[i, :, :width].clone() for i, width in enumerate(widths)]
    theirs = [torch.optim.Muon([one], weight_decay=0.1, adjust_lr_fn="match_rms_adamw") for one in alone]
    for step, gradient in enumerate(gradients):
        group = Group("muon", theta, gradient, [buffer], 0.2, 1.0, widths)
        group.move(0.1 / (1 + step), 0.5, 0.9, torch.tensor(1.0 + step))
        for i, (one, width, optimizer) in enumerate(zip(alone, widths, theirs, strict=True)):
            one.grad = gradient[i, :, :width].clone()
            optimizer.param_groups[0]["lr"] = 0.1 / (1 + step)
            optimizer.step()
    for i, (one, width, optimizer) in enumerate(zip(alone, widths, theirs, strict=True)):
        torch.testing.assert_close(buffer[i, :, :width], optimizer.state[one]["momentum_buffer"])
        assert (theta[i, :, width:] == 0).all()
        yield theta[i, :, :width], one, start[i, :, :width]


@pytest.mark.parametrize("shape", [(16, 10), (8, 13), (10, 10), (20, 12)])
def test_muon_moves_each_matrix_as_torchs_own_moves_it_alone(shape):
    for found, expected, _ in moved(shape, torch.float64):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_what_muon_rounds_otherwise_is_small(shape, dtype):
    """In matrices of less than 8 rows or columns, and in float32."""
    for found, expected, start in moved(shape, dtype):
        assert (found - expected).norm() < 0.02 * (expected - start).norm()


@pytest.mark.parametrize("shape", SHAPES)
def test_newton_and_schulz_bring_singular_values_near_one_and_keep_the_directions(shape):
    matrices = draws(5, *shape) * 1e-3
    found = _orthogonal(matrices)
    assert found.dtype == torch.bfloat16
    values = svdvals(found.double())
    assert values.min() > 0.6
    assert values.max() < 1.3
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    along = (left.mT @ found.double() @ right.mT).diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(along.sort(descending=True).values, values, rtol=0.02, atol=0.02)


def test_muon_of_zeros_does_nothing():
    theta = draws(2, 3, 4)
    before = theta.clone()
    Group("muon", theta, torch.zeros_like(theta), [torch.zeros_like(theta)], 0.0, 1.0, [4, 4]).move(
        0.1, 1.0, 0.9, torch.ones(())
    )
    assert torch.equal(theta, before)


def test_muon_leaves_to_adam_what_is_no_matrix_of_an_inner_layer():
    found = optimizers_of(BNMLP(4, 3, (6, 5), input_batch_norm=True), "muon")
    assert [name for name, optimizer in found.items() if optimizer == "muon"] == [
        "linears.0.weight",
        "linears.1.weight",
    ]
    assert set(found.values()) == {"muon", "adam"}
    assert set(optimizers_of(BNMLP(4, 3, ()), "muon").values()) == {"adam"}
    assert set(optimizers_of(BNCNN((1, 6, 6), 3, [ConvBlock(4)]), "sgd").values()) == {"sgd"}
