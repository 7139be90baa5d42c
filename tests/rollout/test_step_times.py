"""Steps are taken one after another while they are quick, and side by side when they turn out slow."""

from __future__ import annotations

import threading
import time

from medvista.rollout.step_times import SLOW_S, StepTimes
from medvista.rollout.steps import MOMENT_S, AdaptiveSteps

FOR_EVER_S = 30.0  # what a broken collector would wait before the test fails


def times_of(*seconds: float) -> StepTimes:
    times = StepTimes()
    for one in seconds:
        times.add(one)
    return times


def test_quick_steps_are_waited_for() -> None:
    assert times_of(*[SLOW_S / 2] * 100).wait_for_next()


def test_neither_what_loads_a_tool_nor_a_lone_slow_step_changes_that() -> None:
    assert times_of(3.0).wait_for_next()
    assert times_of(3.0, SLOW_S / 2, 10 * SLOW_S).wait_for_next()


def test_slow_steps_are_tried_again_ever_more_rarely_until_they_are_quick() -> None:
    times = times_of(0.0, 0.2, 0.2)
    gaps = []
    for _ in range(3):
        gaps.append(next(steps for steps in range(10_000) if times.wait_for_next()))
        times.add(0.2)
    assert gaps == [64, 128, 256]
    assert next(steps for steps in range(10_000) if times.wait_for_next()) == 512
    times.add(SLOW_S / 10)
    assert all(times.wait_for_next() for _ in range(100))


def test_one_slow_step_in_ten_is_enough_to_take_them_side_by_side() -> None:
    times = StepTimes()
    waited = 0
    for step in range(640):
        if times.wait_for_next():
            waited += 1
            times.add(0.2 if step % 10 == 9 else SLOW_S / 10)
    assert waited < 200


def test_a_step_that_takes_longer_than_a_moment_holds_up_nobody() -> None:
    goes_on = threading.Event()
    steps: AdaptiveSteps[str] = AdaptiveSteps(2, StepTimes())
    begun = time.perf_counter()
    steps.start(0, lambda: "slow" if goes_on.wait(FOR_EVER_S) else "never")
    assert MOMENT_S * 0.9 < time.perf_counter() - begun < FOR_EVER_S / 2
    steps.start(1, lambda: "quick")
    assert steps.take(wait=False) == [(1, "quick")]
    assert steps.under_way == 1
    goes_on.set()
    assert steps.take(wait=True) == [(0, "slow")]
    steps.close()


def test_slow_steps_run_side_by_side_and_come_together() -> None:
    together = threading.Barrier(8)
    steps: AdaptiveSteps[int] = AdaptiveSteps(8, times_of(0.0, 0.2, 0.2))
    for index in range(8):
        steps.start(index, lambda index=index: together.wait(FOR_EVER_S) * 0 + index)  # type: ignore[misc]
    done = steps.take(wait=True)
    while len(done) < 8:
        done += steps.take(wait=True)
    assert sorted(done) == [(index, index) for index in range(8)]
    steps.close()


def test_quick_steps_are_done_when_they_were_begun_in_their_order() -> None:
    order: list[int] = []
    steps: AdaptiveSteps[None] = AdaptiveSteps(8, StepTimes())
    for index in range(20):
        steps.start(index, lambda index=index: order.append(index))  # type: ignore[misc]
    assert order == list(range(20))
    assert [index for index, _ in steps.take(wait=False)] == order
    steps.close()
