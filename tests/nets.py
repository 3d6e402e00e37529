"""Small torch modules. In a module of their own: worker processes import it."""

import math

import torch
from torch import nn


class Layers(nn.Module):
    """One hidden layer."""

    def __init__(self, n_inputs=4, n_outputs=2, batch_norm=False, end=None):
        super().__init__()
        self.first = nn.Linear(n_inputs, 8)
        self.norm = nn.BatchNorm1d(8) if batch_norm else nn.Identity()
        self.last = nn.Linear(8, n_outputs)
        self.end = end

    def forward(self, X, **_metadata):
        output = self.last(torch.relu(self.norm(self.first(X))))
        return self.end(output) if self.end else output


class OneLogit(Layers):
    """One number per row, without a column."""

    def __init__(self, n_inputs=4):
        super().__init__(n_inputs, n_outputs=1)

    def forward(self, X):
        return super().forward(X)[:, 0]


class Embeds(nn.Module):
    def __init__(self, n_rows=5):
        super().__init__()
        self.table = nn.Embedding(n_rows, 2)

    def forward(self, X):
        return self.table(X).mean(1)


class Convolves(nn.Module):
    """For images: (n_rows, height, width)."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 2, 3)

    def forward(self, X):
        return self.layer(X[:, None]).mean((2, 3))


class Drops(nn.Module):
    """Dropout from torch's global generator, for rows or images of any shape."""

    def __init__(self, shape, n_outputs, width=8, rate=0.5):
        super().__init__()
        self.first = nn.Linear(math.prod(shape) if isinstance(shape, tuple) else shape, width)
        self.norm = nn.BatchNorm1d(width)
        self.dropout = nn.Dropout(rate)
        self.last = nn.Linear(width, n_outputs)

    def forward(self, X):
        return self.last(self.dropout(torch.relu(self.norm(self.first(X.flatten(1))))))
