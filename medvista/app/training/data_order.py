"""In which order training meets its questions and demonstrations: shuffled, mixed by benchmark, by difficulty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medvista.app.config.schema import ExperimentConfig
from medvista.data.curriculum import CurriculumSampler
from medvista.data.mixing import MixedSampler, Mixture
from medvista.data.sampler import ResumableSampler
from medvista.errors import UserError
from medvista.notices import notice
from medvista.types import Trajectory, VQASample


def question_order(config: ExperimentConfig, train: Sequence[VQASample]) -> ResumableSampler | CurriculumSampler:
    """Of the questions that reinforcement learning plays.

    Raises:
        UserError: a benchmark that is mixed in has no question.
    """
    benchmarks = [sample.benchmark for sample in train]
    mixing, curriculum = config.data.mixing, config.rl.curriculum
    if curriculum.enabled:
        return CurriculumSampler(benchmarks, curriculum, mixing=mixing, seed=config.seed)
    if mixing:
        return MixedSampler(benchmarks, mixing, seed=config.seed)
    return ResumableSampler(len(train), seed=config.seed, endless=True)


def demonstration_order(config: ExperimentConfig, benchmarks: Sequence[str]) -> ResumableSampler | None:
    """Of the demonstrations of these benchmarks; None where nothing is mixed.

    A benchmark without demonstrations leaves its share to the others, which is told.
    """
    there = {name: weight for name, weight in config.data.mixing.items() if name in benchmarks}
    for name in config.data.mixing:
        if name not in there:
            notice("benchmarks of data.mixing without a demonstration leave their share to the others", name)
    return MixedSampler(benchmarks, there, seed=config.seed) if there else None


def check_mixing(mixing: Mapping[str, float], trained_on: Sequence[str]) -> None:
    """Refuses weights that are not those of the benchmarks trained on.

    Raises:
        UserError: a name or a weight is wrong, or missing.
    """
    if not mixing:
        return
    if {*mixing} != {*trained_on}:
        raise UserError(
            f"data.mixing weighs {', '.join(mixing)}, and what is trained on is {', '.join(trained_on)}: weigh each."
        )
    for name, weight in mixing.items():
        if not weight > 0:
            raise UserError(
                f"data.mixing.{name}={weight:g} has to be above 0; take {name} out of the benchmarks instead."
            )
    Mixture(list(mixing.values()))


def benchmarks_of(episodes: Sequence[Trajectory]) -> list[str]:
    """The benchmark of each episode's question."""
    return [episode.sample.benchmark for episode in episodes]
