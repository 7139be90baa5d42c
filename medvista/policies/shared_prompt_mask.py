"""Attention of rows that stand behind one another in one sequence, and share their prompts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

_QUERIES = 128  # of a row, whose attention is computed at once


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Places:
    """Where what stands in the sequence of `L` tokens: `G` prompts, `N` rows behind them."""

    prompts: Tensor  # [G, P], place of each token of a prompt; 0 where it is shorter
    rows: Tensor  # [N, S], the same of what follows in each row
    prompt_of: Tensor  # [N], which prompt a row begins with
    visible: Tensor  # [N, 1, S, P + S] True where a token of a row may look
    back: Tensor  # [L], of each token, its place among the [G * P + N * S] of both


class SharedPromptMask(Tensor):
    """An attention mask that no tensor of numbers is: each row sees its own prompt and itself, and no other row.

    ``scaled_dot_product_attention`` that is handed it computes the prompts by themselves, and the rows behind them, so
    that the work is that of the tokens there are. PyTorch's own `torch.nn.attention.bias.CausalBias` is made likewise.
    A model takes it for a mask ``[1, 1, 1, 1]`` that somebody has prepared, and hands it on as it is.
    """

    places: _Places

    @classmethod
    def of(
        cls,
        prompts: Sequence[range],
        rows: Sequence[range],
        prompt_of: Sequence[int],
        device: torch.device | None = None,
    ) -> SharedPromptMask:
        """A mask for a sequence ``[1, L]``.

        Args:
            prompts: where each prompt stands, none of them empty.
            rows: where what follows in each row stands.
            prompt_of: of each row, the number of its prompt.
            device: of the sequence.
        """
        of_prompts, in_prompt = _padded(prompts)
        of_rows, in_row = _padded(rows)
        first, width = of_prompts.numel(), of_rows.shape[1]
        back = torch.empty(int(in_prompt.sum() + in_row.sum()), dtype=torch.long)
        back[of_prompts[in_prompt]] = torch.arange(first)[in_prompt.flatten()]
        back[of_rows[in_row]] = torch.arange(first, first + of_rows.numel())[in_row.flatten()]
        whose = torch.tensor(prompt_of)
        causal = torch.ones(width, width, dtype=torch.bool).tril().expand(len(rows), -1, -1)
        visible = torch.cat([in_prompt[whose][:, None].expand(-1, width, -1), causal], dim=2)[:, None]
        mask = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device).as_subclass(cls)
        mask.places = _Places(
            prompts=of_prompts.to(device),
            rows=of_rows.to(device),
            prompt_of=whose.to(device),
            visible=visible.to(device),
            back=back.to(device),
        )
        return mask

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Attention, where this is the mask of it."""
        if func is scaled_dot_product_attention:
            return _attention(*args, **(kwargs or {}))
        return super().__torch_function__(func, types, args, kwargs or {})


def _attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: SharedPromptMask, is_causal: bool = False, **options: Any
) -> Tensor:
    """``[1, heads, L, size]``, see `SharedPromptMask`; the arguments of ``scaled_dot_product_attention``."""
    places = attn_mask.places
    states = [tensor[0].transpose(0, 1) for tensor in (query, key, value)]  # [L, heads, size]
    own = [_take(tensor, places.prompts) for tensor in states]
    first, keys, values = (tensor.transpose(1, 2) for tensor in own)
    # Padding behind a prompt is seen by padding alone.
    of_prompts = scaled_dot_product_attention(first, keys, values, is_causal=True, **options)
    query, *news = [_take(tensor, places.rows) for tensor in states]
    key, value = (
        torch.cat([prompt.index_select(0, places.prompt_of), new], dim=1).transpose(1, 2)
        for prompt, new in zip(own[1:], news, strict=True)
    )
    of_rows = _in_blocks(query.transpose(1, 2), key, value, places.visible, **options)
    both = [part.transpose(1, 2).flatten(0, 1) for part in (of_prompts, of_rows)]
    return torch.cat(both).index_select(0, places.back).transpose(0, 1)[None]


def _in_blocks(query: Tensor, key: Tensor, value: Tensor, visible: Tensor, **options: Any) -> Tensor:
    """Attention ``[N, heads, S, size]`` of the last `S` tokens, some at a time: few keys are read that none sees."""
    ahead = key.shape[2] - query.shape[2]
    parts = []
    for first in range(0, query.shape[2], _QUERIES):
        behind = min(first + _QUERIES, query.shape[2])
        seen = slice(0, ahead + behind)
        mask = visible[:, :, first:behind, seen]
        parts.append(
            scaled_dot_product_attention(
                query[:, :, first:behind], key[:, :, seen], value[:, :, seen], attn_mask=mask, **options
            )
        )
    return torch.cat(parts, dim=2)


def _take(states: Tensor, at: Tensor) -> Tensor:
    """``[A, B, heads, size]`` of ``[L, heads, size]`` at ``[A, B]``."""
    return states.index_select(0, at.flatten()).unflatten(0, at.shape)


def _padded(ranges: Sequence[range]) -> tuple[Tensor, Tensor]:
    """Ranges as rows of one tensor, padded with 0, and where they are no padding; at least one column."""
    width = max(1, *map(len, ranges))
    column = torch.arange(width)
    starts = torch.tensor([[each.start] for each in ranges])
    real = column < torch.tensor([[len(each)] for each in ranges])
    return torch.where(real, starts + column, 0), real
