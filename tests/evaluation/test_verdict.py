"""The verdict in words: gains, nulls and losses as the paired tests have them, for every kind of run."""

from __future__ import annotations

from dataclasses import replace

from medvista.evaluation.numbers.results import (
    ArmScore,
    Comparison,
    Counterfactual,
    Effect,
    Interval,
    Results,
    Score,
)
from medvista.evaluation.tables.verdict import verdict

LOOKS = ("attribute", "yes_no")


def score(attribute: float, yes_no: float, calls: float = 0.75) -> ArmScore:
    families = {
        name: Score(n=100, accuracy=value, ci95=(value - 0.05, value + 0.05))
        for name, value in zip(LOOKS, (attribute, yes_no), strict=True)
    }
    families["side"] = Score(n=100, accuracy=0.9, ci95=(0.85, 0.95))
    return ArmScore(n=300, accuracy=0.8, ci95=(0.75, 0.85), families=families, tool_calls_mean=calls)


def paired(baseline: str, difference: float, ci95: Interval, p: float = 0.001, arm: str = "sft_rl") -> Comparison:
    return Comparison(
        benchmark="phantom",
        arm=arm,
        baseline=baseline,
        mode="greedy",
        difference=difference,
        ci95=ci95,
        p_value=p / 2,
        p_holm=p,
        n=200,
        test="clustered_permutation",
        families=LOOKS,
    )


def run(*comparisons: Comparison, calls: float = 0.75, control: ArmScore | None = None) -> Results:
    arms = {name: score(0.6, 0.7) for name in ("sft", "sft_longer", "direct", "tools_untrained", "majority")}
    arms |= {"sft_rl": score(0.8, 0.88, calls), "sft_rl_random": control or score(0.33, 0.5)}
    return Results(
        experiment="nano",
        seeds=(0,),
        arms={name: {"phantom": {"greedy": found}} for name, found in arms.items()},
        comparisons=comparisons,
        chance={"phantom": {"attribute": 1 / 3, "yes_no": 0.5, "side": 0.5}},
        descriptions={"sft_rl": "cold start, then RL in the environment", "sft": "SFT on demonstrations (cold start)"},
    )


GAIN = paired("sft", 0.123, (0.071, 0.17))
RANDOM = paired("sft_rl_random", 0.42, (0.365, 0.473))


def test_a_gain_is_told_with_its_interval_and_chance() -> None:
    (line,) = verdict(run(GAIN, RANDOM))
    # (80 % + 88 %) / 2 on as many questions each; (33.3 % + 50 %) / 2 by guessing
    assert "sft_rl (cold start, then RL in the environment) answers 84.0 % of the questions of attribute and" in line
    assert "guessing would answer 42 %." in line
    assert "That is 12.3 points [7.1, 17.0] more than sft (SFT on demonstrations)." in line
    assert line.endswith("With its calls run on random boxes it falls to chance, 41.5 %.")


def test_a_null_is_no_gain() -> None:
    (line,) = verdict(run(paired("sft", 0.002, (-0.027, 0.033), p=0.9)))
    assert "No difference can be told from sft (+0.2 points [−2.7, +3.3])." in line
    assert "more than" not in line


def test_what_correction_takes_back_is_no_gain() -> None:
    (line,) = verdict(run(paired("sft", 0.04, (0.001, 0.08), p=0.2)))
    assert "No difference can be told from sft" in line


def test_a_loss_is_told_as_a_loss() -> None:
    (line,) = verdict(run(paired("sft", -0.05, (-0.08, -0.02))))
    assert "That is 5.0 points [2.0, 8.0] fewer than sft" in line
    assert "more than" not in line


def test_the_closest_rivals_are_named_first_and_the_others_counted() -> None:
    rivals = [("majority", 0.6), ("sft", 0.1), ("direct", 0.4), ("sft_longer", 0.12), ("tools_untrained", 0.45)]
    (line,) = verdict(run(*(paired(name, gap, (gap - 0.05, gap + 0.05)) for name, gap in rivals)))
    assert line.index("more than sft ") < line.index("more than sft_longer") < line.index("more than direct")
    assert "2 other arms are farther away." in line


def test_a_policy_that_is_no_worse_on_random_boxes_does_not_look() -> None:
    (line,) = verdict(run(GAIN, paired("sft_rl_random", 0.01, (-0.02, 0.04), p=0.5)))
    assert "With its calls run on random boxes it does no worse (+1.0 points [−2.0, +4.0])" in line
    (line,) = verdict(run(GAIN, RANDOM, control=score(0.45, 0.6)))
    assert line.endswith("it falls to 52.5 %."), "above chance is not called chance"
    (line,) = verdict(run(GAIN, RANDOM, calls=0.0))
    assert line.endswith("It calls no tool.")


def test_without_the_control_the_replays_tell() -> None:
    effect = Effect(
        n=200,
        accuracy=0.84,
        accuracy_changed=0.4,
        difference=-0.44,
        ci95=(-0.5, -0.38),
        answers_changed=0.5,
        answers_changed_ci95=(0.4, 0.6),
    )
    blank = Counterfactual(
        benchmark="phantom",
        arm="sft_rl",
        mode="greedy",
        change="blank",
        overall=effect,
        looked=effect,
        p_value=0.001,
        seed=0,
    )
    (line,) = verdict(replace(run(GAIN), counterfactuals=[blank]))
    assert "it loses: a blank image −44.0 points [−50.0, −38.0]." in line
    same = replace(effect, difference=0.0, ci95=(-0.03, 0.03))
    (line,) = verdict(replace(run(GAIN), counterfactuals=[replace(blank, overall=same)]))
    assert line.endswith("it answers no worse: it does not use them.")


def test_a_run_without_the_main_arm_tells_of_the_one_it_compares() -> None:
    (line,) = verdict(run(paired("majority", 0.2, (0.1, 0.3), arm="direct")))
    assert "direct answers 65.0 %" in line
    assert "20.0 points [10.0, 30.0] more than majority" in line


def test_without_a_paired_test_no_difference_is_claimed() -> None:
    (line,) = verdict(run())
    assert "no difference is claimed" in line


def test_a_sweep_is_told_variant_by_variant() -> None:
    pooled = ArmScore(n=1000, accuracy=0.7, ci95=(0.68, 0.72), tool_calls_mean=0.7)
    names = [f"{arm} / {teacher}" for arm in ("sft", "sft_rl") for teacher in ("clean", "faulty")]
    tests = [
        paired("sft / clean", 0.001, (-0.02, 0.02), p=0.8, arm="sft_rl / clean"),
        paired("sft / faulty", 0.21, (0.13, 0.29), arm="sft_rl / faulty"),
    ]
    results = replace(run(*tests), arms={name: {"phantom": {"greedy": pooled}} for name in names})
    clean, faulty = verdict(results)
    assert "No difference can be told from sft / clean" in clean
    assert "21.0 points [13.0, 29.0] more than sft / faulty" in faulty


def test_an_evaluation_is_told_benchmark_by_benchmark() -> None:
    whole = ArmScore(n=300, accuracy=0.8, ci95=(0.75, 0.85))
    arms = {name: {"slake": {"greedy": whole}, "vqa_rad": {"greedy": whole}} for name in ("policy", "blind")}
    on = [
        replace(paired("blind", 0.1, (0.05, 0.15), arm="policy"), benchmark=name, families=())
        for name in arms["policy"]
    ]
    lines = verdict(Results(experiment="e", seeds=(0,), arms=arms, comparisons=on))
    assert [line.split(",")[0] for line in lines] == ["On slake", "On vqa_rad"]
    assert all("policy answers 80.0 % of the questions right." in line for line in lines)
