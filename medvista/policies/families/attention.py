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


def within_window(mask: Tensor, new: int, window: int) -> Tensor:
    """``[B, 1, new, L]`` True where a column is among the last `window` tokens of its row, seen from a new one.

    Tokens are counted, not columns: a gap in a row makes nothing older.

    >>> within_window(torch.tensor([[1, 1, 0, 1]]), new=1, window=2).int()[0, 0]
    tensor([[0, 1, 1, 1]], dtype=torch.int32)
    """
    token = mask.cumsum(dim=1)  # [B, L], its number in the row
    return (token[:, None, :] > token[:, token.shape[1] - new :, None] - window)[:, None]


def same_image(of_image: Tensor, mask: Tensor, new: int) -> Tensor:
    """``[B, 1, new, L]`` True where a column holds a token of the image that a new one belongs to.

    Args:
        of_image: ``[B, L]`` True on the placeholders of images; of two images that touch, the second continues the
            first, as in the models that look both ways inside an image.
        mask: ``[B, L]``, 1 where the cache holds a token.
        new: how many of the columns are being fed now.

    >>> row = torch.tensor([[0, 1, 1, 0, 1]]).bool()
    >>> same_image(row, torch.ones(1, 5), new=4).int()[0, 0]
    tensor([[0, 1, 1, 0, 0],
            [0, 1, 1, 0, 0],
            [0, 0, 0, 0, 0],
            [0, 0, 0, 0, 1]], dtype=torch.int32)
    """
    # A gap between two tokens of an image is part of it: an image has as many blocks as runs of text before it.
    text = (mask.bool() & ~of_image).cumsum(dim=1)
    block = torch.where(of_image, text, -1)
    queries = block[:, block.shape[1] - new :, None]
    return ((queries == block[:, None, :]) & (queries >= 0))[:, None]
