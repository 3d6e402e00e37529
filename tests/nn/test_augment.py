import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from stackkit.nn._augment import AUGMENTATIONS, Augmentation, _smooth_noise, _warp, shifted_views


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def images(n=40, channels=1, height=12, width=10, dtype=torch.float32):
    return torch.randn(n, channels, height, width, generator=seeded(7), dtype=dtype)


def moved(picture, down, right, most):
    """One image moved by whole pixels, its border repeated, by hand."""
    padded = np.pad(picture, ((0, 0), (most, most), (most, most)), mode="edge")
    height, width = picture.shape[1:]
    return padded[:, most - down : most - down + height, most - right : most - right + width]


def smooth_picture(size=25):
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return np.exp(-((x - 3) ** 2 + (y + 2) ** 2) / 18) + 0.5 * np.exp(-((x + 5) ** 2 + y**2) / 10)


def test_nothing_asked_for_changes_nothing():
    x = images()
    assert torch.equal(Augmentation()(x, seeded()), x)


def test_whole_shifts_are_copies_moved_by_up_to_two_pixels_and_all_of_them_occur():
    x = images(400, height=6, width=5)
    found = set()
    for before, after in zip(x.numpy(), Augmentation(shift=2)(x, seeded()).numpy(), strict=True):
        places = [(i, j) for i in range(-2, 3) for j in range(-2, 3) if (moved(before, i, j, 2) == after).all()]
        assert places
        found.update(places)
    assert len(found) == 25


def test_images_are_distorted_each_in_its_own_way():
    x = images(1).expand(20, -1, -1, -1)
    for augmentation in AUGMENTATIONS.values():
        distorted = augmentation(x, seeded())
        assert len({picture.numpy().tobytes() for picture in distorted}) > 10


@pytest.mark.parametrize("degrees", [-30, 10, 45])
def test_a_turn_is_scipys_turn(degrees):
    picture, angle = smooth_picture(), torch.tensor([math.radians(degrees)], dtype=torch.float64)
    zero = torch.zeros(1, dtype=torch.float64)
    matrix = torch.stack([angle.cos(), angle.sin(), zero, -angle.sin(), angle.cos(), zero], dim=1).view(1, 2, 3)
    ours = _warp(torch.from_numpy(picture)[None, None], matrix)[0, 0].numpy()
    candidates = [ndimage.rotate(picture, sign * degrees, reshape=False, order=1, mode="nearest") for sign in (1, -1)]
    assert min(np.abs(ours - candidate)[4:-4, 4:-4].max() for candidate in candidates) < 1e-9


def test_no_image_turns_further_than_asked_for():
    picture = torch.from_numpy(smooth_picture())[None, None]
    turned = Augmentation(rotate=20)(picture.expand(50, -1, -1, -1), seeded()).numpy()[:, 0]

    def direction(pixels):
        y, x = np.mgrid[:25, :25] - 12
        ys, xs = (pixels * y).sum(axis=(-2, -1)), (pixels * x).sum(axis=(-2, -1))
        return np.degrees(np.arctan2(ys, xs))

    angles = np.abs(direction(turned) - direction(smooth_picture()))
    assert angles.max() < 23
    assert angles.max() > 12


def test_displacements_have_the_size_and_the_smoothness_asked_for():
    field = _smooth_noise(images(300, height=28, width=28), 4.0, seeded())
    assert field.shape == (300, 2, 28, 28)
    assert field.std().item() == pytest.approx(1, abs=0.03)
    # Noise under a Gaussian filter of width s has the correlation exp(-d^2 / (4 s^2)) at the distance d.
    neighbours = (field[..., 4:] * field[..., :-4]).mean().item()
    assert neighbours == pytest.approx(math.exp(-16 / 64), abs=0.05)


@pytest.mark.parametrize("augmentation", AUGMENTATIONS.values(), ids=AUGMENTATIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_even_image_stays_even_and_keeps_its_type(augmentation, dtype):
    x = torch.full((9, 3, 11, 8), -0.4, dtype=dtype)
    distorted = augmentation(x, seeded())
    assert distorted.dtype == dtype
    torch.testing.assert_close(distorted, x)


@pytest.mark.parametrize("augmentation", AUGMENTATIONS.values(), ids=AUGMENTATIONS)
def test_only_the_given_generator_is_drawn_from(augmentation):
    x, state = images(), torch.random.get_rng_state()
    once, again, other = (augmentation(x, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("side", [1, 2, 3, 4])
def test_a_square_about_each_pixel_comes_to_be_cut_out_of_all_channels(side):
    x = images(900, channels=2, height=5, width=4).abs() + 1
    found, places = set(), {}
    for i, j in np.ndindex(5, 4):  # the middle; of an even side the pixel behind it
        mask = np.zeros((5, 4), dtype=bool)
        mask[max(0, i - side // 2) : i - side // 2 + side, max(0, j - side // 2) : j - side // 2 + side] = True
        places[mask.tobytes()] = i, j
    cut = Augmentation(cutout=side)(x, seeded()).numpy()
    for before, after in zip(x.numpy(), cut, strict=True):
        np.testing.assert_array_equal(after[after != 0], before[after != 0])
        np.testing.assert_array_equal(after[0] == 0, after[1] == 0)
        found.add(places[(after[0] == 0).tobytes()])
    assert len(found) == 20


def test_a_square_is_cut_out_of_the_distorted_image():
    x = images()
    for name in ("shift", "elastic"):
        whole = AUGMENTATIONS[name](x, seeded())
        cut = replace(AUGMENTATIONS[name], cutout=4)(x, seeded())
        left = cut != 0
        assert torch.equal(cut[left], whole[left])
        assert 4 <= (~left).sum() / len(x) <= 16
    assert Augmentation(cutout=40)(x, seeded()).abs().max() == 0


@pytest.mark.parametrize("augmentation", AUGMENTATIONS.values(), ids=AUGMENTATIONS)
def test_the_layout_in_memory_does_not_matter(augmentation):
    x = images(channels=3)
    last = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(augmentation(last, seeded()), augmentation(x, seeded()))


def test_views_are_the_image_and_its_four_neighbours():
    x = images(3)
    views = list(shifted_views(x))
    assert torch.equal(views[0], x)
    for view, (down, right) in zip(views[1:], [(-1, 0), (1, 0), (0, -1), (0, 1)], strict=True):
        for before, after in zip(x.numpy(), view.numpy(), strict=True):
            np.testing.assert_array_equal(after, moved(before, down, right, 1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shift": -1}, r"'shift' parameter of Augmentation must be a number, at least 0 and finite; got -1"),
        ({"rotate": float("nan")}, "'rotate' parameter of Augmentation must be a number"),
        ({"scale": 1.0}, "'scale' parameter of Augmentation must be a number, at least 0 and below 1; got 1.0"),
        ({"shear": 90}, "'shear' parameter .* below 90; got 90"),
        ({"elastic": "much"}, "'elastic' parameter .* got 'much'"),
        ({"elastic_sigma": 0.5}, "'elastic_sigma' parameter .* at least 1 and finite; got 0.5"),
        ({"cutout": -2}, "'cutout' parameter of Augmentation must be a number, at least 0 and finite; got -2"),
        ({"cutout": 2.5}, "'cutout' parameter of Augmentation must be a whole number; got 2.5"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**settings)


def test_what_is_no_batch_of_images_is_refused():
    with pytest.raises(ValueError, match=r"floating-point tensor of the shape .* got torch.uint8 of the shape"):
        Augmentation(shift=1)(torch.zeros(2, 1, 3, 3, dtype=torch.uint8), seeded())
    with pytest.raises(
        ValueError, match="'pixels' parameter of shifted_views must be a whole number, at least 1; got 0"
    ):
        shifted_views(images(), pixels=0)
