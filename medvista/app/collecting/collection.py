"""Plays questions until each has its demonstrations: every finished episode is judged, written down, perhaps kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medvista.app.collecting.attempts import Attempt, AttemptLog, attempt_seed
from medvista.app.collecting.costs import Costs
from medvista.app.collecting.refinement import Refinement
from medvista.app.collecting.teachers import Teacher
from medvista.app.config.sft_schema import DEMONSTRATIONS, CollectConfig
from medvista.app.progress import Progress
from medvista.data.trajectories import TrajectoryWriter, read_trajectories
from medvista.functional.acceptance import Verdict, judge_episode
from medvista.rollout import needs_a_look
from medvista.types import Trajectory, VQASample

STAGE = "collect"


class Collection:
    """A folder of demonstrations that grows.

    Episodes are played in batches. One is written down as soon as it has ended, but where it takes more than the
    episode itself to know what becomes of it (forks, longer thoughts), once its batch has. The demonstration is written
    before the line of its attempt, so that a kill between the two is found, and mended, by the run that goes on.

    Args:
        config: who is asked how often, and what is kept.
        teacher: plays.
        refinement: makes demonstrations of what is kept.
        folder: of the collection.
        seed: of the run.
        costs: kept after every batch.
    """

    def __init__(
        self, config: CollectConfig, teacher: Teacher, refinement: Refinement, folder: Path, seed: int, costs: Costs
    ) -> None:
        self.config, self.teacher, self.refinement, self.seed, self.costs = config, teacher, refinement, seed, costs
        self._path = folder / DEMONSTRATIONS
        self._log = AttemptLog(folder)
        self._kept = TrajectoryWriter(self._path)
        self._mend()

    @property
    def attempts(self) -> Sequence[Attempt]:
        """All of them, those of earlier runs included."""
        return self._log.attempts

    def collect(self, samples: Sequence[VQASample], progress: Progress) -> None:
        """Asks all questions once, then again those that may have more demonstrations."""
        with progress.stage(STAGE, len(samples) * self.config.samples, "episode") as shown:
            for draw in range(self.config.samples):
                for start in range(0, len(samples), self.config.batch_size):
                    shown.reach(draw * len(samples) + start)
                    self._ask(samples[start : start + self.config.batch_size], draw)
                    self.costs.keep()

    def close(self) -> None:
        """Ends the files."""
        self._log.close()
        self._kept.close()

    def _ask(self, samples: Sequence[VQASample], draw: int) -> None:
        """Plays the episodes of a batch that were not played before."""
        pairs = [(sample, attempt_seed(self.seed, sample, draw)) for sample in samples]
        todo = [
            (sample, seed)
            for sample, seed in pairs
            if not self._log.has(sample, seed) and self._log.kept(sample) < self.config.per_question
        ]
        wait_for_batch = self.config.look == "fork" or self.refinement.asks
        waiting: list[Trajectory] = []
        played = self.teacher.collector.play(
            [sample for sample, _ in todo], self.teacher.params, seeds=[seed for _, seed in todo]
        )
        for _, episode in played:
            verdict = self._judge(episode)
            if verdict != "kept":
                self._log.add(Attempt.of(episode, verdict))
            elif wait_for_batch:
                waiting.append(episode)
            else:
                self._keep([episode])
        self._finish(waiting)

    def _judge(self, episode: Trajectory) -> Verdict:
        verdict = judge_episode(episode, self.config.look)
        return "duplicate" if verdict == "kept" and self._log.has_its_like(episode) else verdict

    def _finish(self, episodes: Sequence[Trajectory]) -> None:
        """Forks a batch's right episodes at their calls, where that is asked for, and keeps those that pass."""
        if self.config.look == "fork" and episodes:
            looked = needs_a_look(episodes, self.teacher.forks, self.teacher.params, forks=self.config.forks)
            for episode, needed in zip(episodes, looked, strict=True):
                if not needed:
                    self._log.add(Attempt.of(episode, "useless look"))
            episodes = [episode for episode, needed in zip(episodes, looked, strict=True) if needed]
        self._keep(episodes)

    def _keep(self, episodes: Sequence[Trajectory]) -> None:
        """Writes down what becomes of episodes that are good enough."""
        for episode, refined in zip(episodes, self.refinement.refine(episodes), strict=True):
            for demonstration in refined.demonstrations:
                self._kept.write(demonstration)
            self._log.add(Attempt.of(episode, "kept", refined.notes))

    def _mend(self) -> None:
        """Writes down the attempt of a demonstration that a kill has left without one."""
        if self._path.exists():
            for episode in read_trajectories(self._path):
                if not self._log.has(episode.sample, episode.seed):
                    self._log.add(Attempt.of(episode, "kept"))
