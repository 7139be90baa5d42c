"""Several streams in one row, none of which sees another: no token of padding goes through the model.

A row's mask is causal inside each stream and empty between them, and its positions begin anew with each stream, so the
states are those of the streams by themselves. The mask is made as that of a rollout's cache (`Family.visible`), so
whatever a family adds to it (a sliding window, images that look both ways) holds inside each stream, too. Images are
encoded apart from the text, as ever. Recurrent layers have no mask and would run on from one stream into the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from medvista.policies.families import Family


class Packed(NamedTuple):
    """Streams side by side in one row."""

    token_ids: Tensor  # [1, P]
    position_ids: Tensor  # [..., 1, P]
    visible: Tensor | Mapping[str, Tensor | None]  # where each token may look, as the model takes it
    column: Tensor  # [N, T] where each token of the padded rows stands; meaningless for padding


def pack_rows(family: Family, token_ids: Tensor, attention_mask: Tensor, position_ids: Tensor) -> Packed:
    """The rows of a right-padded batch, one behind the other.

    Args:
        family: of the model.
        token_ids: ``[N, T]``.
        attention_mask: ``[N, T]``, 1 on real tokens.
        position_ids: ``[..., N, T]``, of each row by itself.
    """
    real = attention_mask.bool()
    ids = token_ids[real][None]  # row after row
    places = torch.arange(ids.shape[1], device=ids.device)
    row = torch.arange(len(real), device=ids.device)[:, None].expand_as(real)[real]  # [P], whose token each is
    causal = (row[:, None] == row[None, :]) & (places[None, :] <= places[:, None])
    visible = family.visible(causal[None, None], places[None], ids, torch.ones_like(ids))
    column = torch.zeros_like(token_ids).masked_scatter(real, places)
    return Packed(ids, position_ids[..., real][..., None, :], visible, column)


def why_not_packable(family: Family, model: Any) -> str:
    """Why streams of a model cannot stand in one row; empty where they can.

    Args:
        family: of the model.
        model: in Hugging Face form.
    """
    if family.one_row_per_cache:
        return "its recurrent layers would run on from one demonstration into the next"
    kind = model.config._attn_implementation
    if kind != "sdpa":
        return f"its attention of kind {kind!r} takes no mask of this form; load it with 'sdpa'"
    return ""
