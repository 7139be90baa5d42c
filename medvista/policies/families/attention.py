"""Which columns of a key-value cache each new token sees, where rows have gaps."""

from __future__ import annotations

import torch
from torch import Tensor


def attention_pattern(mask: Tensor, new: int) -> Tensor:
    """``[B, 1, new, L]`` True where one of the last `new` columns of a cache may look.

    Every real token sees the real tokens up to itself. A padding column sees itself alone: a row of the softmax without
    any entry would be NaN, and NaN in the cache outlives every mask (0 x NaN).

    Args:
        mask: ``[B, L]``, 1 where the cache holds a token.
        new: how many of the columns are being fed now.

    >>> attention_pattern(torch.tensor([[1, 0, 1]]), new=2).int()[0, 0]
    tensor([[1, 1, 0],
            [1, 0, 1]], dtype=torch.int32)
    """
    length = mask.shape[1]
    columns = torch.arange(length, device=mask.device)
    queries = columns[length - new :]
    causal = columns[None, :] <= queries[:, None]
    itself = columns[None, :] == queries[:, None]
    return (mask.bool()[:, None, :] & causal | itself)[:, None]


def within_window(columns: Tensor, real: Tensor, window: int) -> Tensor:
    """``[B, 1, n, L]`` True where a column is among the last `window` tokens of its row, seen from a new one.

    Tokens are counted, not columns: a gap in a row makes nothing older.

    Args:
        columns: ``[B, n]``, where the new tokens stand.
        real: ``[B, L]``, 1 where the cache holds a token.
        window: tokens, the new one included.

    >>> within_window(torch.tensor([[3]]), torch.tensor([[1, 1, 0, 1]]), window=2).int()[0, 0]
    tensor([[0, 1, 1, 1]], dtype=torch.int32)
    """
    number = real.cumsum(dim=1)  # [B, L], of each token in its row
    return (number[:, None, :] > number.gather(1, columns)[:, :, None] - window)[:, None]


def same_image(columns: Tensor, of_image: Tensor, real: Tensor) -> Tensor:
    """``[B, 1, n, L]`` True where a column holds a token of the image that a new one belongs to.

    Args:
        columns: ``[B, n]``, where the new tokens stand.
        of_image: ``[B, L]`` True on the visual tokens; two images without text between them count as one, as in the
            models that look both ways inside an image.
        real: ``[B, L]``, 1 where the cache holds a token.

    >>> of_image = torch.tensor([[0, 1, 1, 0, 1]]).bool()
    >>> same_image(torch.tensor([[1, 3, 4]]), of_image, torch.ones(1, 5)).int()[0, 0]
    tensor([[0, 1, 1, 0, 0],
            [0, 0, 0, 0, 0],
            [0, 0, 0, 0, 1]], dtype=torch.int32)
    """
    of_image = of_image & real.bool()
    text = (real.bool() & ~of_image).cumsum(dim=1)  # [B, L], tokens of text so far: the same all through an image
    image = torch.where(of_image, text, -1)
    mine = image.gather(1, columns)[:, :, None]
    return ((mine == image[:, None, :]) & (mine >= 0))[:, None]
