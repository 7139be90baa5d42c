"""A small run, as the stages of a real one leave it: scores of five arms, curves, and episodes on real phantoms."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest

from medvista.data.phantoms import Phantom, draw_phantom
from medvista.evaluation.numbers.results import ArmScore, Comparison, Interval, Results, Score
from medvista.evaluation.page.curves import Curves
from medvista.imaging import box_to_model, crop, fit
from medvista.types import (
    Action,
    Box,
    Completion,
    FinalAnswer,
    MedicalImage,
    Observation,
    ParseError,
    Region,
    Reward,
    StopReason,
    ToolCall,
    ToolError,
    ToolErrorType,
    ToolResult,
    Trajectory,
    Turn,
    VQASample,
)

CHANCE = {"attribute": 0.25, "yes_no": 0.5, "side": 0.5, "density": 1 / 3, "comparison": 0.5, "all": 0.42}
ACCURACY = {
    "direct": {"attribute": 0.25, "yes_no": 0.52, "side": 0.98, "density": 0.33, "comparison": 0.49},
    "tools_untrained": {"attribute": 0.24, "yes_no": 0.49, "side": 0.95, "density": 0.35, "comparison": 0.5},
    "tools_random": {"attribute": 0.27, "yes_no": 0.51, "side": 0.97, "density": 0.6, "comparison": 0.52},
    "sft": {"attribute": 0.61, "yes_no": 0.7, "side": 0.97, "density": 0.81, "comparison": 0.56},
    "sft_rl": {"attribute": 0.89, "yes_no": 0.93, "side": 0.99, "density": 0.96, "comparison": 0.71},
    "oracle_crop": {"attribute": 0.97, "yes_no": 0.98, "side": 0.99, "density": 0.97, "comparison": 0.93},
}


@pytest.fixture(scope="session")
def results() -> Results:
    return _results()


@pytest.fixture(scope="session")
def curves() -> Curves:
    return _curves()


@pytest.fixture(scope="session")
def trajectories() -> dict[str, list[Trajectory]]:
    return _trajectories()


# ------------------------------------------------------------------------------------------------------------- results


def _results() -> Results:
    arms = {
        arm: {"phantom": {"greedy": _score(arm, values, 0.0), "sampled": _score(arm, values, 0.04)}}
        for arm, values in ACCURACY.items()
    }
    comparisons = [
        _comparison("sft_rl", "tools_untrained", 0.543, (0.508, 0.577)),
        _comparison("sft_rl", "sft", 0.251, (0.214, 0.289)),
        _comparison("tools_untrained", "direct", -0.012, (-0.041, 0.017), p_value=0.41),
    ]
    descriptions = {
        "direct": "SFT without tools",
        "tools_untrained": "the direct policy, offered the tools",
        "tools_random": "sft, its calls executed on random boxes",
        "sft": "cold start on the demonstrations",
        "sft_rl": "cold start, then reinforcement learning in the environment",
        "oracle_crop": "shown the right crop: the ceiling",
    }
    return Results(
        experiment="nano",
        seeds=(0,),
        arms=arms,
        comparisons=comparisons,
        chance={"phantom": CHANCE},
        descriptions=descriptions,
        timing={"vision_s": 118.2, "sft_s": 141.0, "rl_s": 287.4, "eval_s": 65.9, "total_s": 629.8},
        throughput={"rollouts_per_s": 61.3, "generated_tokens_per_s": 2412.0},
        versions={"medvista": "0.1.0", "torch": "2.13.0", "python": "3.11.9"},
        config={"experiment": "nano", "rl": {"steps": 100, "lr": 1e-4}, "seed": 0},
    )


def _score(arm: str, accuracy: Mapping[str, float], drop: float) -> ArmScore:
    families = {name: _binomial(value - drop * (value > 0.6), 256) for name, value in accuracy.items()}
    whole = _binomial(sum(score.accuracy for score in families.values()) / len(families), 1280)
    uses_tools = arm not in ("direct", "oracle_crop")
    return ArmScore(
        n=whole.n,
        accuracy=whole.accuracy,
        ci95=whole.ci95,
        tool_calls_mean=1.18 if uses_tools else 0.0,
        tool_error_rate=0.012 if uses_tools else 0.0,
        hit_rate=0.91 if uses_tools else None,
        answered_rate=0.998,
        accuracy_answered=0.9,
        tokens_mean=41.5,
        families=families,
        per_seed={},
    )


def _binomial(accuracy: float, n: int) -> Score:
    half = 1.96 * math.sqrt(accuracy * (1 - accuracy) / n)
    return Score(n=n, accuracy=accuracy, ci95=(max(0.0, accuracy - half), min(1.0, accuracy + half)))


def _comparison(arm: str, baseline: str, difference: float, ci95: Interval, p_value: float = 1e-9) -> Comparison:
    return Comparison(
        benchmark="phantom",
        arm=arm,
        baseline=baseline,
        mode="greedy",
        difference=difference,
        ci95=ci95,
        p_value=p_value,
        p_holm=min(1.0, 3 * p_value),
        n=512,
        test="mcnemar_exact",
        families=("attribute", "yes_no"),
    )


def _curves() -> dict[str, dict[str, list[tuple[int, float]]]]:
    rng = np.random.default_rng(0)

    def curve(steps: int, every: int, start: float, end: float, noise: float) -> list[tuple[int, float]]:
        xs = range(0, steps + 1, every)
        return [(x, end + (start - end) * math.exp(-3 * x / steps) + float(rng.normal(0, noise))) for x in xs]

    return {
        "sft": {"train/loss": curve(600, 5, 3.2, 0.21, 0.05), "val/phantom/accuracy": curve(600, 100, 0.4, 0.7, 0.01)},
        "rl": {
            "train/reward": curve(100, 1, 0.55, 0.93, 0.04),
            "val/phantom/accuracy": curve(100, 20, 0.72, 0.9, 0.005),
            "train/tool_rate": curve(100, 1, 0.7, 0.83, 0.02),
            "train/hit_rate": curve(100, 1, 0.5, 0.94, 0.03),
            "train/entropy": curve(100, 1, 0.62, 0.31, 0.02),
            "train/kl": curve(100, 1, 0.0, 0.024, 0.001),
            "train/clip_fraction": curve(100, 1, 0.05, 0.02, 0.004),
            "train/zero_variance": curve(100, 1, 0.2, 0.6, 0.05),
            "train/length": curve(100, 1, 44, 39, 0.8),
        },
    }


# ------------------------------------------------------------------------------------------------------------ episodes


def _trajectories() -> dict[str, list[Trajectory]]:
    return {
        "sft_rl": [_hit(3), _hit(5, right=False), _two_looks(7), _stumble(9)],
        "tools_untrained": [_miss(11), _unreadable(13)],
        "direct": [_direct(3), _direct(5, right=False)],
    }


def _sample(phantom: Phantom, seed: int, family: str, question: str, answers: tuple[str, ...]) -> VQASample:
    return VQASample(
        id=f"phantom-test-{seed}",
        benchmark="phantom",
        split="test",
        question=question,
        answers=answers,
        images=(phantom.image,),
        group_id=f"phantom-{seed}",
        regions=tuple(Region(box=nodule.box, label=nodule.kind) for nodule in phantom.nodules),
        metadata={"family": family, "modality": "CT"},
    )


def _look(phantom: Phantom, box: Box, thought: str) -> Turn:
    view = fit(crop(phantom.image, box), 64)
    call = ToolCall(name="zoom", arguments={"box": list(box_to_model(box, phantom.image.size))}, thought=thought)
    result = ToolResult(
        text="", images=(view,), regions=(Region(box=box),), data={"width_mm": 0.8 * (box[2] - box[0])}, seconds=0.002
    )
    shown = Observation(text="zoom shows 64 x 64 source pixels", images=(view,))
    return Turn(completion=_completion(call), action=call, result=result, observation=shown)


def _answer(text: str, thought: str) -> Turn:
    action = FinalAnswer(text=text, thought=thought)
    return Turn(completion=_completion(action), action=action)


def _completion(action: Action) -> Completion:
    match action:
        case ToolCall():
            body = f'<tool_call>{{"name": "{action.name}", "arguments": {dict(action.arguments)}}}</tool_call>'
        case FinalAnswer():
            body = f"<answer>{action.text}</answer>"
        case ParseError():
            body = "<tool_cal>zoom the nodule"
    return Completion(token_ids=(), log_probs=(), text=f"<think>{action.thought}</think>{body}".replace("'", '"'))


def _episode(sample: VQASample, turns: list[Turn], terms: dict[str, float], stop: StopReason) -> Trajectory:
    first = sample.images[0]
    assert isinstance(first, MedicalImage)
    return Trajectory(
        sample=sample,
        observation=Observation(text=sample.question, images=(fit(first, 64),)),
        turns=tuple(turns),
        stop_reason=stop,
        reward=Reward(total=sum(terms.values()), terms=terms),
    )


def _around(centre: tuple[float, float], dx: float = 0.0, dy: float = 0.0) -> Box:
    x, y = round(centre[0] + dx), round(centre[1] + dy)
    return (x - 32.0, y - 32.0, x + 32.0, y + 32.0)


def _hit(seed: int, *, right: bool = True) -> Trajectory:
    phantom = draw_phantom(seed)
    nodule = phantom.nodules[0]
    sample = _sample(phantom, seed, "attribute", "What kind of nodule is it?", (nodule.kind,))
    said = nodule.kind if right else "ground glass"
    turns = [
        _look(phantom, _around(nodule.centre, 6, -4), f"a spot in the {nodule.side} lung: look closer"),
        _answer(said, "now its structure shows"),
    ]
    return _episode(sample, turns, {"answer": float(right), "tool": 0.1 * right, "format": 0.1}, StopReason.ANSWERED)


def _two_looks(seed: int) -> Trajectory:
    phantom = draw_phantom(seed, nodules=2)
    first, second = phantom.nodules
    same = "yes" if first.kind == second.kind else "no"
    sample = _sample(phantom, seed, "comparison", "Are the two nodules of the same kind?", (same,))
    turns = [
        _look(phantom, _around(first.centre), "first the right one"),
        _look(phantom, _around(second.centre, -9, 8), "then the left one"),
        _answer(same, f"{first.kind} and {second.kind}"),
    ]
    return _episode(sample, turns, {"answer": 1.0, "tool": 0.1, "format": 0.1}, StopReason.ANSWERED)


def _stumble(seed: int) -> Trajectory:
    phantom = draw_phantom(seed)
    nodule = phantom.nodules[0]
    truth = "yes" if nodule.kind == "cavitary" else "no"
    sample = _sample(phantom, seed, "attribute", "Is the nodule cavitary?", (truth,))
    call = ToolCall(name="zoom", arguments={"box": [900, 400, 300, 500]}, thought="look closer")
    error = ToolError(type=ToolErrorType.INVALID_ARGUMENTS, message="box: x1 must be below x2, got 900 and 300")
    failed = Turn(
        completion=_completion(call),
        action=call,
        result=ToolResult(error=error),
        observation=Observation(text=f"Error: {error.message}"),
    )
    turns = [failed, _look(phantom, _around(nodule.centre), "the other way round"), _answer(sample.answers[0], "")]
    return _episode(sample, turns, {"answer": 1.0, "tool": 0.1, "format": 0.1}, StopReason.ANSWERED)


def _miss(seed: int) -> Trajectory:
    phantom = draw_phantom(seed)
    sample = _sample(phantom, seed, "attribute", "What kind of nodule is it?", (phantom.nodules[0].kind,))
    turns = [
        _look(phantom, (192.0, 240.0, 256.0, 304.0), ""),
        _answer("left lung", "<script>alert('thought')</script>"),
    ]
    return _episode(sample, turns, {"answer": 0.0, "tool": 0.0, "format": 0.1}, StopReason.ANSWERED)


def _unreadable(seed: int) -> Trajectory:
    phantom = draw_phantom(seed)
    sample = _sample(phantom, seed, "density", "What is the mass made of?", (phantom.material,))
    action = ParseError(message='expected one <tool_call> or one <answer>, found neither: close "<tool_cal>"')
    turn = Turn(completion=_completion(action), action=action, observation=Observation(text=action.message))
    return _episode(sample, [turn, turn], {"answer": 0.0, "tool": 0.0, "format": 0.0}, StopReason.MAX_TURNS)


def _direct(seed: int, *, right: bool = True) -> Trajectory:
    phantom = draw_phantom(seed)
    side = phantom.nodules[0].side
    other = "right" if side == "left" else "left"
    sample = _sample(phantom, seed, "side", "In which lung is the nodule?", (side,))
    turns = [_answer(side if right else other, "")]
    return _episode(sample, turns, {"answer": float(right), "format": 0.1}, StopReason.ANSWERED)
