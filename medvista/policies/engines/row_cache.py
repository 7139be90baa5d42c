"""A key-value cache whose rows come and go while others decode.

Each episode has a row, whose tokens stand side by side from column 0 on. Rows that decode are the first ones, so that a
forward pass takes a slice of the buffer and copies nothing; a row that waits for its tool costs memory alone. New keys
and values are written in place, into buffers that double when they are full.

A batch of news is padded on the left, so that its last column is every row's last token. What the padding computes is
written to a spare column that nobody sees; padding itself sees its row's first token, since a softmax without any entry
would be NaN.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import Cache, DynamicCache
from transformers.cache_utils import CacheLayerMixin, DynamicLayer, DynamicSlidingWindowLayer

_FIRST_ROWS, _FIRST_COLUMNS = 16, 256  # of the buffers, before they grow


@dataclass(slots=True, kw_only=True, eq=False)
class CachedRow:
    """What the cache holds of one episode."""

    episode: int
    length: int = 0  # tokens of its stream in the cache
    images: int = 0  # pictures of its stream in the cache
    next_position: int = 0  # of the token behind them


class Fed(NamedTuple):
    """What the tokens of a forward pass may see; the arguments of `Family.visible`."""

    causal: Tensor  # [B, 1, n, L] True on the tokens up to each; padding sees its row's first
    columns: Tensor  # [B, n], where each stands in its row; 0 for padding
    ids: Tensor  # [B, L], the tokens of the rows, those that are fed included
    real: Tensor  # [B, L], 1 where a row has a token


@dataclass(slots=True, eq=False)
class _Place:
    """Where a forward pass reads and writes."""

    rows: slice = field(default_factory=lambda: slice(0, 0))
    columns: Tensor = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.long))  # [B, n] that are written
    width: int = 0  # columns that are read
    capacity: tuple[int, int] = (0, 0)  # rows, columns of the buffers


class _BufferLayer(CacheLayerMixin):
    """Keys and values ``[rows, columns, heads, size]`` of one layer."""

    def __init__(self, place: _Place) -> None:
        super().__init__()
        self.place = place

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Allocates the buffers; see `CacheLayerMixin`."""
        rows, columns = self.place.capacity
        self.device = key_states.device
        self.keys, self.values = (
            states.new_zeros(rows, columns, states.shape[1], states.shape[3]) for states in (key_states, value_states)
        )
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Writes new states ``[B, heads, n, size]``, gives views of all that the rows hold."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        return self._write(self.keys, key_states), self._write(self.values, value_states)

    def _write(self, buffer: Tensor | None, states: Tensor) -> Tensor:
        assert buffer is not None
        rows = buffer[self.place.rows]
        columns = self.place.columns
        each = torch.arange(len(columns), device=columns.device)[:, None]
        rows[each, columns] = states.transpose(1, 2)
        return rows[:, : self.place.width].transpose(1, 2)

    def grow(self) -> None:
        """Copies into buffers of the present capacity."""
        if self.keys is None or self.values is None:
            return
        for name, old in (("keys", self.keys), ("values", self.values)):
            new = old.new_zeros(*self.place.capacity, *old.shape[2:])
            new[: old.shape[0], : old.shape[1]] = old
            setattr(self, name, new)

    def copy_rows(self, into: Tensor, of: Tensor, width: int) -> None:
        """Writes rows over others, all read before any is written."""
        for buffer in (self.keys, self.values):
            if buffer is not None:
                buffer[into, :width] = buffer[of, :width]

    def get_seq_length(self) -> int:
        """Columns that the present pass had before it; see `CacheLayerMixin`."""
        return self.place.width - self.place.columns.shape[1]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """See `CacheLayerMixin`."""
        return self.place.width, 0

    def get_max_length(self) -> int:
        """None; see `CacheLayerMixin`."""
        return -1


class RowCache:
    """The rows of all episodes of a rollout; the first `running` of them decode.

    Args:
        config: of the model.
        device: where the buffers are.
    """

    def __init__(self, config: Any, device: torch.device) -> None:
        self.device = device
        self.rows: list[CachedRow] = []
        self.running = 0
        self._place = _Place()
        self._ids = torch.zeros(0, 0, dtype=torch.long, device=device)  # [rows, columns]
        self._layers = [_BufferLayer(self._place) for _ in DynamicCache(config=config.get_text_config()).layers]
        self.states = Cache(layers=list(self._layers))  # what the model is handed

    @staticmethod
    def holds(config: Any) -> bool:
        """Whether all that a model keeps of a row are the keys and values of its tokens."""
        layers = DynamicCache(config=config.get_text_config()).layers
        # A window is the attention mask's business: the rows keep what is behind it, too.
        return bool(layers) and all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)

    @property
    def decoding(self) -> list[CachedRow]:
        """The rows that decode, in the order of the batch."""
        return self.rows[: self.running]

    # ------------------------------------------------------------------------------------------------- rows come and go

    def add(self, episodes: Sequence[int]) -> None:
        """Empty rows for new episodes, behind all others."""
        self.rows += [CachedRow(episode=episode) for episode in episodes]
        self._make_room(len(self.rows), 0)

    def join(self, episodes: Collection[int]) -> slice:
        """Puts rows behind those that decode, to decode with them; where they stand."""
        first = self.running
        self._to_front({row.episode for row in self.decoding} | set(episodes))
        self.running = first + len(episodes)
        return slice(first, self.running)

    def leave(self, episodes: Collection[int]) -> None:
        """Takes rows out of those that decode; they keep what they hold."""
        staying = {row.episode for row in self.decoding} - set(episodes)
        self._to_front(staying)
        self.running = len(staying)

    def drop(self, episodes: Collection[int]) -> None:
        """Forgets rows that do not decode."""
        staying = {row.episode for row in self.rows} - set(episodes)
        self._to_front(staying)
        del self.rows[len(staying) :]

    def copy(self, of: Sequence[int], into: slice, prompts: Sequence[CachedRow]) -> None:
        """Fills rows with the prompts that others hold.

        Args:
            of: where the others stand.
            into: which rows are filled.
            prompts: what the others held when they had read their prompt, no more.
        """
        for row, prompt in zip(self.rows[into], prompts, strict=True):
            row.length, row.images, row.next_position = prompt.length, prompt.images, prompt.next_position
        self._copy(range(into.start, into.stop), of, max(prompt.length for prompt in prompts))

    def _to_front(self, episodes: Collection[int]) -> None:
        """Swaps rows so that those of some episodes come first; the fewest that do it."""
        inside = [place for place, row in enumerate(self.rows[: len(episodes)]) if row.episode not in episodes]
        outside = [
            place for place, row in enumerate(self.rows[len(episodes) :], len(episodes)) if row.episode in episodes
        ]
        if not inside:
            return
        self._copy(inside + outside, outside + inside, max(self.rows[place].length for place in inside + outside))
        for one, other in zip(inside, outside, strict=True):
            self.rows[one], self.rows[other] = self.rows[other], self.rows[one]

    def _copy(self, into: Sequence[int], of: Sequence[int], width: int) -> None:
        if width:
            places = (torch.tensor(list(rows), device=self.device) for rows in (into, of))
            to, source = places
            self._ids[to, :width] = self._ids[source, :width]
            for layer in self._layers:
                layer.copy_rows(to, source, width)

    # ----------------------------------------------------------------------------------------------------- forward pass

    def feed(self, rows: slice, ids: Tensor, counts: Sequence[int]) -> Fed:
        """Says where the next forward pass reads and writes, and what its tokens may see.

        Args:
            rows: that are fed.
            ids: ``[B, n]``, their new tokens, padded on the left.
            counts: how many there are of each row.
        """
        fed, new = self.rows[rows], ids.shape[1]
        width = max(row.length + count for row, count in zip(fed, counts, strict=True))
        self._make_room(len(self.rows), width)
        before = torch.tensor([[row.length, new - count] for row, count in zip(fed, counts, strict=True)])
        column = torch.arange(new)
        real = column >= before[:, 1:]
        at = before[:, :1] - before[:, 1:] + column
        self._place.rows, self._place.width = rows, width
        self._place.columns = torch.where(real, at, self._place.capacity[1] - 1).to(self.device)
        for row, count in zip(fed, counts, strict=True):
            row.length += count
        written = self._ids[rows]
        written.scatter_(1, self._place.columns, ids)
        columns = torch.where(real, at, 0).to(self.device)
        everywhere = torch.arange(width, device=self.device)
        lengths = torch.tensor([[row.length] for row in fed], device=self.device)
        return Fed(
            causal=(everywhere <= columns[:, :, None])[:, None],
            columns=columns,
            ids=written[:, :width],
            real=(everywhere < lengths).long(),
        )

    def _make_room(self, rows: int, columns: int) -> None:
        """Grows the buffers, a column to spare included; doubling keeps the copies few."""
        had = self._place.capacity
        wanted = _grown(had[0] or _FIRST_ROWS, rows), _grown(had[1] or _FIRST_COLUMNS, columns + 1)
        if wanted != had:
            self._place.capacity = wanted
            grown = self._ids.new_zeros(*wanted)
            grown[: had[0], : had[1]] = self._ids
            self._ids = grown
            for layer in self._layers:
                layer.grow()


def _grown(size: int, wanted: int) -> int:
    while size < wanted:
        size *= 2
    return size
