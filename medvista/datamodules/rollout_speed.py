"""What the rollout of an update took, and what of it was computed more often than once."""

from __future__ import annotations

import time
from collections.abc import Sequence

from medvista.rollout import RolloutCollector
from medvista.types import Trajectory


class RolloutSpeed:
    """Watches a collector from here on.

    Args:
        collector: that plays the update's episodes.
    """

    def __init__(self, collector: RolloutCollector) -> None:
        self.collector = collector
        self._begun = time.perf_counter()
        self._environment_s = collector.environment_s
        self._work = collector.engine.work()

    @property
    def seconds(self) -> float:
        """So far."""
        return time.perf_counter() - self._begun

    def statistics(self, episodes: Sequence[Trajectory]) -> dict[str, float]:
        """As training logs them: of this process, since others take another time.

        Args:
            episodes: that were played since.
        """
        seconds = self.seconds
        generated = sum(sum(episode.stream.loss_mask) for episode in episodes)
        found = {
            "speed/rollout_seconds": seconds,
            "speed/tool_wait_seconds": self.collector.environment_s - self._environment_s,
            "speed/generated_tokens_per_second": generated / seconds,
        }
        before, now = self._work, self.collector.engine.work()
        if before is None or now is None:
            return found
        # The last token of an episode is never read.
        tokens = sum(max(len(episode.stream) - 1, 0) for episode in episodes)
        if tokens:
            found["speed/cache_hit_share"] = 1 - (now.fed_tokens - before.fed_tokens) / tokens
        if now.distinct_images > before.distinct_images:
            images = now.distinct_images - before.distinct_images
            found["speed/rollout_encodes_per_image"] = (now.encoded_images - before.encoded_images) / images
        return found
