"""The order of training samples, the same on every machine and continued exactly after an interruption."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice, takewhile
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import Sampler

from medvista.errors import UserError


class Drawn(NamedTuple):
    """A sample that a stream gives, and how often it has given it before."""

    sample: int  # its index
    times: int


class SharedBatches(Sampler[list[int]]):
    """This process's share of each batch of a stream: every ``world_size``-th index, none of a batch too small.

    Args:
        stream: an endless sampler of all processes' indices, at the same position in each.
        batch_size: of all processes together.
        rank: of this process.
        world_size: how many share each batch.
    """

    def __init__(self, stream: Sampler[int], batch_size: int, *, rank: int, world_size: int) -> None:
        self.stream, self.batch_size, self.rank, self.world_size = stream, batch_size, rank, world_size

    def __iter__(self) -> Iterator[list[int]]:
        """Without end."""
        indices = iter(self.stream)
        while True:
            yield list(islice(indices, self.batch_size))[self.rank :: self.world_size]


class ResumableSampler(Sampler[int]):
    """Indices of samples, shuffled in every epoch by ``(seed, epoch)``; ranks take them in turn.

    All ranks share one stream, of which each takes every ``world_size``-th index::

        stream   = epoch 0: 3 0 2 1, epoch 1: 1 3 0 2, ...
        rank 0   =          3   2             1   0
        rank 1   =            0   1             3   2

    `position` counts what all ranks together have *used*, so the state that rank 0 saves is right for every rank, even
    for another number of ranks. Loaders fetch ahead of training, so iterating does not move it: either call `take`
    at the moment of use, or iterate and call `advance` after each used batch. Every rank must use equally many.
    """

    def __init__(
        self,
        size: int,
        *,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        shuffle: bool = True,
        endless: bool = False,
    ) -> None:
        """See the class.

        Args:
            size: how many samples there are.
            seed: of the shuffles.
            rank: which share of the stream to give, ``0 .. world_size - 1``.
            world_size: how many ranks share the stream.
            shuffle: False keeps the samples' own order in every epoch.
            endless: True goes on from epoch to epoch; False stops at the end of an epoch, and leaves out the last
                ``size % world_size`` indices of it, so that every rank has as many.
        """
        if not 0 <= rank < world_size:
            raise ValueError(f"rank must lie in 0..{world_size - 1}, got {rank}")
        if size < world_size:
            raise UserError(f"{size} samples cannot be shared by {world_size} ranks: use more data or fewer ranks")
        self.size, self.seed, self.rank, self.world_size = size, seed, rank, world_size
        self.shuffle, self.endless = shuffle, endless
        self.position = 0  # of the stream: epoch * size + index within the epoch's order, over all ranks
        self._order = lru_cache(maxsize=2)(self._make_order)

    @property
    def epoch(self) -> int:
        """The epoch that the next index comes from."""
        return self.position // self.size

    def __len__(self) -> int:
        """Indices of this rank in a whole epoch."""
        if self.endless:
            raise TypeError("an endless sampler has no length")
        return self.size // self.world_size

    def __iter__(self) -> Iterator[int]:
        """The indices from `position` on, without using them: to the end of the epoch, or without end."""
        epoch = self._whole_step(self.position) // self.size
        steps = self._steps()
        for start, _ in steps if self.endless else takewhile(lambda step: step[0] // self.size == epoch, steps):
            yield self.place(start + self.rank).sample

    def take(self, count: int) -> list[int]:
        """Use the next `count` indices of this rank, going on to the next epoch where one ends."""
        return [drawn.sample for drawn in self.draw(count)]

    def draw(self, count: int) -> list[Drawn]:
        """What `take` gives, with the epoch of each."""
        steps = list(islice(self._steps(), count))
        self.position = steps[-1][1] if steps else self.position
        return [self.place(start + self.rank) for start, _ in steps]

    def advance(self, count: int) -> None:
        """Mark the next `count` indices of this rank, and as many of every other, as used."""
        for _, end in islice(self._steps(), count):
            self.position = end

    def state_dict(self) -> dict[str, Any]:
        """Where the stream is, the same on every rank."""
        return {"position": self.position, "seed": self.seed, "size": self.size}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was saved.

        Raises:
            UserError: it was saved with other data or another seed, so that the order would not go on.
        """
        for name in ("size", "seed"):
            if state[name] != getattr(self, name):
                raise UserError(
                    f"the checkpoint was made with data {name} {state[name]}, now it is {getattr(self, name)}: "
                    f"resume with the same data and seed, or start again with resume=false"
                )
        self.position = int(state["position"])

    def _steps(self) -> Iterator[tuple[int, int]]:
        """Where each step of all ranks starts in the stream, and where the next one does."""
        position = self._whole_step(self.position)  # saved by fewer ranks, it may be too close to the epoch's end
        while True:
            end = self._whole_step(position + self.world_size)
            yield position, end
            position = end

    def _whole_step(self, position: int) -> int:
        """The position, or the next epoch's start where this epoch has too few indices left for all ranks."""
        left = self.size - position % self.size
        return position if self.endless or left >= self.world_size else position + left

    def place(self, position: int) -> Drawn:
        """What stands at a position of the stream."""
        epoch, offset = divmod(position, self.size)
        return Drawn(sample=int(self._order(epoch)[offset]), times=epoch)

    def _make_order(self, epoch: int) -> np.ndarray:
        if not self.shuffle:
            return np.arange(self.size)
        return np.random.default_rng((self.seed, epoch)).permutation(self.size)
