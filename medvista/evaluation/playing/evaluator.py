"""Questions -> finished episodes on disk: in batches, over processes, each once however often that is interrupted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from medvista.errors import UserError
from medvista.evaluation.playing.episode_log import EpisodeLog
from medvista.policies import SamplingParams
from medvista.rollout import RolloutCollector
from medvista.types import VQASample


def play_questions(
    samples: Sequence[VQASample],
    log: EpisodeLog,
    make_collector: Callable[[], RolloutCollector],
    params: SamplingParams,
    *,
    batch_size: int,
    seeds: Sequence[int] | None = None,
    on_finished: Callable[[int], None] = lambda _: None,
) -> None:
    """Plays the questions that `log` does not hold yet; when it returns, in every process, the log holds them all.

    Args:
        samples: the questions, the same in every process, each with an id of its own.
        log: keeps each episode as soon as it ends, and knows which process this is.
        make_collector: gives what plays; called only where a question is left to play.
        params: how tokens are drawn.
        batch_size: episodes that take their turns together.
        seeds: one per question; its index by default. An episode depends on it, not on what is played beside it.
        on_finished: told how many more of this process's questions are finished.

    Raises:
        UserError: two questions have one id, under which the log would keep one of them.
    """
    ids = _unique_ids(samples)
    seeds = range(len(samples)) if seeds is None else seeds
    finished = log.finished()
    own = log.shard.own(len(samples))
    left = [index for index in own if samples[index].id not in finished]
    on_finished(len(own) - len(left))
    if left:
        collector = make_collector()
        with log.writer() as writer:
            for start in range(0, len(left), batch_size):
                batch = left[start : start + batch_size]
                chosen, drawn = [samples[index] for index in batch], [seeds[index] for index in batch]
                for _, trajectory in collector.play(chosen, params, seeds=drawn):
                    writer.write(trajectory)
                    on_finished(1)
    log.shard.wait_for_all()
    if log.shard.leads:
        log.merge(ids)
    log.shard.wait_for_all()


def _unique_ids(samples: Sequence[VQASample]) -> list[str]:
    ids = [sample.id for sample in samples]
    if len(set(ids)) < len(ids):
        id, times = Counter(ids).most_common(1)[0]
        raise UserError(f"{times} questions of {samples[0].benchmark} have the id {id!r}: give each question its own")
    return ids
