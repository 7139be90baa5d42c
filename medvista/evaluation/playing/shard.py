"""Which questions a process plays when several share an evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from medvista import ranks


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One of `world_size` processes; question ``i`` belongs to process ``i % world_size``, whatever else there is."""

    rank: int = 0
    world_size: int = 1

    @classmethod
    def current(cls) -> Shard:
        """This process in the group that ``torch.distributed`` was told of; alone without one."""
        return cls(rank=ranks.rank(), world_size=ranks.world_size())

    @property
    def leads(self) -> bool:
        """True for the one process that merges, reports and prints."""
        return self.rank == 0

    def own(self, count: int) -> range:
        """The indices, of `count` questions, that this process plays.

        >>> list(Shard(rank=1, world_size=2).own(5))
        [1, 3]
        """
        return range(self.rank, count, self.world_size)

    def wait_for_all(self) -> None:
        """Returns when every process has come here."""
        if self.world_size > 1:
            ranks.wait_for_all()
