"""Questions of intermediate success are drawn more often, alike in every process and after an interruption."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from medvista.data.curriculum import CurriculumSampler
from medvista.errors import UserError
from medvista.functional.curriculum import draw_weighted
from medvista.rl_settings import CurriculumConfig

CONFIG = CurriculumConfig(enabled=True, floor=0.1, memory=0.5)


def make(size: int = 30, seed: int = 0, **options: object) -> CurriculumSampler:
    return CurriculumSampler(["phantom"] * size, CONFIG, seed=seed, **options)  # type: ignore[arg-type]


def play(sampler: CurriculumSampler, updates: int, prompts: int = 6) -> list[list[tuple[int, int]]]:
    """Draws some questions per update: the first third is never right, the second sometimes, the last always."""
    played = []
    for _ in range(updates):
        drawn = sampler.draw(prompts)
        for index, _ in drawn:
            sampler.observe(index, right=(0, 4, 8)[3 * index // sampler.size], episodes=8)
        played.append([(index, times) for index, times in drawn])
    return played


def test_weights_are_drawn_in_proportion_and_without_repetition() -> None:
    weights, rng = np.array([1.0, 2.0, 5.0]), np.random.default_rng(0)
    draws = [draw_weighted(weights, 2, rng).tolist() for _ in range(20_000)]
    assert all(len({*pair}) == 2 for pair in draws)
    first = Counter(pair[0] for pair in draws)
    assert [first[i] / 20_000 for i in range(3)] == pytest.approx([1 / 8, 2 / 8, 5 / 8], abs=0.01)
    after_the_last = Counter(second for first, second in draws if first == 2)
    assert after_the_last[1] / after_the_last.total() == pytest.approx(2 / 3, abs=0.015)


def test_questions_of_intermediate_success_are_favoured_and_none_is_given_up() -> None:
    sampler = make()
    drawn = Counter(index for update in play(sampler, 1200, prompts=1) for index, _ in update)
    never, sometimes, always = (sum(drawn[i] for i in range(part, part + 10)) for part in (0, 10, 20))
    # Eight right of eight are p = 8.5 / 9 at first, and with the half of what came before 16.5 / 17 in the end.
    weights = np.array([0.1 + 0.9 * 4 * p * (1 - p) for p in (0.5 / 17, 0.5, 16.5 / 17)])
    expected = 1200 * weights / weights.sum()
    assert [never, sometimes, always] == pytest.approx(expected, rel=0.15)
    assert min(drawn[i] for i in range(30)) > 5
    assert sampler.pools() == {"unseen": 0, "hard": 1 / 3, "intermediate": 1 / 3, "easy": 1 / 3}


def test_a_question_is_drawn_once_per_update_unless_there_are_too_few() -> None:
    assert all(len({index for index, _ in update}) == 6 for update in play(make(), 50))
    assert Counter(make(size=4).draw(6)).total() == len({*make(size=4).draw(6)}) == 6  # the times differ


def test_old_episodes_count_less() -> None:
    sampler = make(size=1)
    sampler.observe(0, right=0, episodes=8)
    sampler.observe(0, right=8, episodes=8)
    assert sampler.state_dict()["known"] == []  # was never drawn
    sampler.draw(1)
    state = sampler.state_dict()
    assert (state["right"], state["episodes"]) == ([8.0], [12.0])


@pytest.mark.parametrize("mixing", [{}, {"a": 2, "b": 1}])
def test_an_interrupted_stream_goes_on_exactly(mixing: dict[str, float]) -> None:
    def sampler() -> CurriculumSampler:
        return CurriculumSampler(["a"] * 12 + ["b"] * 18, CONFIG, mixing=mixing, seed=3)

    whole = play(sampler(), 20)
    first, second = sampler(), sampler()
    before = play(first, 8)
    second.load_state_dict(first.state_dict())
    assert before + play(second, 12) == whole
    assert whole != play(make(seed=4), 20)
    if mixing:
        assert sum(index < 12 for update in whole for index, _ in update) == 80  # of 120


def test_a_state_of_other_questions_is_refused() -> None:
    with pytest.raises(UserError, match="made with data size 30, now it is 31"):
        make(31).load_state_dict(make(30).state_dict())
