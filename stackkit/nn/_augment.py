"""Random small distortions of images: more to learn from than there is."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, pad


@dataclass(frozen=True)
class Augmentation:
    """Random small distortions of images, of each its own.

    Calling it with a batch of images returns new images: sheared, scaled,
    turned and shifted about their centre, with a smooth random displacement of
    their pixels on top. What moves in from outside repeats the border. All
    random numbers come from the generator that the call is given.

    Parameters
    ----------
    shift : float, default=0
        Up to this many pixels to either side, and up or down. Where this alone
        is not zero, and whole, images move by whole pixels, which leaves them
        sharp and is the fastest.

    rotate : float, default=0
        Up to this many degrees each way.

    scale : float, default=0
        Up to this fraction larger or smaller; below 1.

    shear : float, default=0
        Vertical lines lean up to this many degrees each way; below 90.

    elastic : float, default=0
        Standard deviation of the smooth random displacements, in pixels, along
        each axis. That of [1]_, for images of 28 x 28 pixels, is 1.4.

    elastic_sigma : float, default=4
        How smooth the displacements are: those of [1]_ are independent noise
        under a Gaussian filter of this many pixels, and so in effect are these.
        At least 1.

    cutout : int, default=0
        Side of a square, in pixels, that is set to zero in all channels: after
        all else, at a place of each image's own [2]_. Its middle may be any
        pixel, so that at the border a part of it lies outside. Zero is the mean
        of the training images' pixels where a BN-CNN does the distorting.

    References
    ----------
    .. [1] P. Y. Simard, D. Steinkraus and J. C. Platt, "Best practices for
       convolutional neural networks applied to visual document analysis",
       ICDAR 2003.
    .. [2] T. DeVries and G. W. Taylor, "Improved Regularization of Convolutional
       Neural Networks with Cutout", arXiv:1708.04552, 2017.

    Examples
    --------
    >>> import torch
    >>> from stackkit.nn._augment import Augmentation
    >>> images = torch.eye(3).reshape(1, 1, 3, 3)
    >>> Augmentation(shift=1)(images, torch.Generator().manual_seed(0)).shape
    torch.Size([1, 1, 3, 3])
    """

    shift: float = 0.0
    rotate: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    elastic: float = 0.0
    elastic_sigma: float = 4.0
    cutout: int = 0

    def __post_init__(self) -> None:
        least = {"elastic_sigma": 1}
        below = {"scale": 1, "shear": 90}
        for name in (field.name for field in fields(self)):
            value, low, high = getattr(self, name), least.get(name, 0), below.get(name, math.inf)
            if not (isinstance(value, int | float) and low <= value < high):
                allowed = f"at least {low} and " + (f"below {high}" if name in below else "finite")
                raise ValueError(f"The {name!r} parameter of Augmentation must be a number, {allowed}; got {value!r}.")
        if self.cutout != int(self.cutout):
            raise ValueError(f"The 'cutout' parameter of Augmentation must be a whole number; got {self.cutout!r}.")

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Distort images.

        Parameters
        ----------
        images : Tensor of shape (n, channels, height, width)
            Of float32 or float64.

        generator : torch.Generator
            Where all random numbers come from.

        Returns
        -------
        Tensor of shape (n, channels, height, width)
            New images, of the same type.
        """
        _check_images(images)
        distorted = self._distorted(images, generator)
        return _without_squares(distorted, int(self.cutout), generator) if self.cutout else distorted

    def _distorted(self, images: Tensor, generator: torch.Generator) -> Tensor:
        if float(self.shift).is_integer() and not (self.rotate or self.scale or self.shear or self.elastic):
            return _whole_shifts(images, int(self.shift), generator)
        matrices = self._matrices(images, generator)
        if not self.elastic:
            return _warp(images, matrices)
        return _warp(images, matrices, _smooth_noise(images, self.elastic_sigma, generator).mul_(self.elastic))

    def _matrices(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Draw what `_inverse_affine` makes: (n, 2, 3)."""
        limits = [math.radians(self.rotate), math.radians(self.shear), self.scale, self.shift, self.shift]
        size = (len(limits), len(images))
        draws = torch.rand(size, generator=generator, device=generator.device, dtype=images.dtype).to(images.device)
        turn, lean, grow, right, down = (
            limit * draw for limit, draw in zip(limits, draws.mul_(2).sub_(1), strict=True)
        )
        return _inverse_affine(turn, lean, 1 + grow, right, down)


# Small to large. The last is milder than its paper's 1.4: the others come on top.
AUGMENTATIONS = {
    "shift": Augmentation(shift=2),
    "affine": Augmentation(shift=2, rotate=10, scale=0.1),
    "elastic": Augmentation(shift=2, rotate=10, scale=0.1, elastic=1.0),
}


def shifted_views(images: Tensor, pixels: int = 1) -> Iterator[Tensor]:
    """Views of images to average predictions over: as they are, and moved up, down, left and right.

    Parameters
    ----------
    images : Tensor of shape (n, channels, height, width)
        The images.

    pixels : int, default=1
        How far to move them. What moves in from outside repeats the border.

    Returns
    -------
    iterator of 5 Tensors of shape (n, channels, height, width)
        `images` itself first.
    """
    _check_images(images)
    if not isinstance(pixels, int) or pixels < 1:
        raise ValueError(f"The 'pixels' parameter of shifted_views must be a whole number, at least 1; got {pixels!r}.")
    windows = _windows(images, pixels)
    moves = ((2, 1), (0, 1), (1, 2), (1, 0))  # a window further down shows the image further up
    return iter([images, *(windows[:, :, pixels * down, pixels * right] for down, right in moves)])


def _check_images(images: Tensor) -> None:
    if images.ndim != 4 or not images.is_floating_point():
        raise ValueError(
            f"images must be a floating-point tensor of the shape (n, channels, height, width); "
            f"got {images.dtype} of the shape {tuple(images.shape)}."
        )


def _windows(images: Tensor, most: int) -> Tensor:
    """Views of the images shifted by up to `most` pixels: (n, channels, 2 most + 1, 2 most + 1, height, width)."""
    height, width = images.shape[2:]
    return pad(images, [most] * 4, mode="replicate").unfold(2, height, 1).unfold(3, width, 1)


def _whole_shifts(images: Tensor, most: int, generator: torch.Generator) -> Tensor:
    n = len(images)
    draws = torch.randint(2 * most + 1, (2, n), generator=generator, device=generator.device)
    down, right = draws.to(images.device)
    return _windows(images, most)[torch.arange(n, device=images.device), :, down, right]


def _without_squares(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Images in each of which a square of `side` pixels about a random one is zero."""
    n, _, height, width = images.shape
    down, right = (
        torch.randint(length, (n, 1), generator=generator, device=generator.device).to(images.device) - side // 2
        for length in (height, width)
    )
    y, x = (torch.arange(length, device=images.device) for length in (height, width))
    rows, columns = (y >= down) & (y < down + side), (x >= right) & (x < right + side)  # (n, height), (n, width)
    return images.masked_fill(rows[:, None, :, None] & columns[:, None, None, :], 0.0)


def _inverse_affine(turn: Tensor, lean: Tensor, size: Tensor, right: Tensor, down: Tensor) -> Tensor:
    """From where a pixel comes if images are scaled, sheared, turned, then shifted: matrices (n, 2, 3) for (x, y, 1).

    All arguments have one value an image; angles are in radians, and the origin is the centre of the image.
    """
    cos, sin, slope = turn.cos() / size, turn.sin() / size, lean.tan()
    xx, xy = cos + slope * sin, sin - slope * cos
    rows = [xx, xy, -xx * right - xy * down, -sin, cos, sin * right - cos * down]
    return torch.stack(rows, dim=1).view(-1, 2, 3)


def _warp(images: Tensor, matrices: Tensor, displacements: Tensor | None = None) -> Tensor:
    """Images whose pixels come from the places that `matrices` and `displacements` (n, 2, height, width) say."""
    n, _, height, width = images.shape
    x, y = (torch.arange(length).to(images) - (length - 1) / 2 for length in (width, height))
    here = torch.stack([x.expand(height, width), y[:, None].expand(height, width), x.new_ones(height, width)])
    there = (matrices.view(2 * n, 3) @ here.view(3, -1)).view(n, 2, height, width)  # x, y in pixels off the centre
    if displacements is not None:
        there += displacements
    there *= there.new_tensor([2 / width, 2 / height]).view(2, 1, 1)  # from -1 to 1, edge to edge
    return grid_sample(images, there.permute(0, 2, 3, 1), padding_mode="border", align_corners=False)


def _smooth_noise(images: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
    """Noise under a Gaussian filter of `sigma` pixels, of variance 1 at each pixel: (n, 2, height, width).

    A filter that wide needs no noise at each pixel: knots `sigma` pixels apart
    give the same covariances to a thousandth, for a small part of the work.
    """
    rows, columns = (_smoothing(length, sigma).to(images) for length in images.shape[2:])
    size = (len(images), 2, rows.shape[1], columns.shape[1])
    noise = torch.randn(size, generator=generator, device=generator.device, dtype=images.dtype).to(images.device)
    return rows @ (noise @ columns.T)


def _smoothing(length: int, sigma: float) -> Tensor:
    """Gaussian weights of knots `sigma` pixels apart at each of `length` pixels; their squares sum to 1."""
    n_knots = math.ceil((length - 1) / sigma) + 5  # two of them outside at each end
    pixels = torch.arange(length, dtype=torch.float64) - (length - 1) / 2
    knots = torch.arange(n_knots, dtype=torch.float64) - (n_knots - 1) / 2
    weights = torch.exp(-((pixels[:, None] / sigma - knots) ** 2) / 2)
    return weights / weights.norm(dim=1, keepdim=True)
