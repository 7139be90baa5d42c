"""Every named objective against loops that a reader can check against its paper, and against TRL where TRL has it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from medvista.errors import UserError
from medvista.functional.objectives import OBJECTIVES, Episodes, LossCounts, Objective, SampledTokens, make_objective
from medvista.rl_settings import CorrectionConfig, KLConfig, ObjectiveName, ValueConfig
from medvista.settings import GRPOConfig

P, G, T, LONGEST = 3, 2, 8, 20
NAMES = get_args(ObjectiveName)


def drawn(seed: int = 0) -> tuple[Episodes, SampledTokens]:
    """Episodes with an observation between their turns, of different lengths, in double precision."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    now = -normal(P * G, T).abs()
    old, engine, reference = (now + scale * normal(P * G, T) for scale in (0.3, 0.5, 0.2))
    mask = torch.tensor([[2 <= t < 3 + row or (t == 0 and row % 2 == 0) for t in range(T)] for row in range(P * G)])
    values = normal(P * G, T)
    rewards = normal(P, G)
    episodes = Episodes(
        rewards=rewards, mask=mask, old_log_probs=old, reference_log_probs=reference, values=0.5 * values
    )
    tokens = SampledTokens(
        log_probs=now,
        entropy=normal(P * G, T).abs(),
        mask=mask,
        advantages=torch.zeros_like(now),
        old_log_probs=old,
        engine_log_probs=engine,
        reference_log_probs=reference,
    )
    return episodes, tokens


# ------------------------------------------------------------------------------------------------------- naive loops


def sampled(mask: Tensor, row: int) -> list[int]:
    return [t for t in range(T) if mask[row, t]]


def k(kind: str, now: float, reference: float) -> float:
    d = reference - now
    return {"k1": -d, "k2": d * d / 2, "k3": math.exp(d) - d - 1}[kind]


def naive_advantages(o: Objective, e: Episodes, beta: float) -> list[dict[int, float]]:
    """Advantage by row and token, from lists and floats only."""
    rewards = [float(r) for r in e.rewards.flatten()]
    assert e.reference_log_probs is not None
    penalty = [
        {
            t: beta * k(o.kl_estimator, float(e.old_log_probs[row, t]), float(e.reference_log_probs[row, t]))
            if o.kl_placement == "reward"
            else 0.0
            for t in sampled(e.mask, row)
        }
        for row in range(P * G)
    ]
    if o.baseline in ("group", "leave_one_out"):
        totals = [reward - sum(each.values()) for reward, each in zip(rewards, penalty, strict=True)]
        found = []
        for row in range(P * G):
            siblings = totals[row // G * G : row // G * G + G]
            mean = sum(siblings) / G
            if o.baseline == "leave_one_out":
                mean = (sum(siblings) - totals[row]) / (G - 1)
            deviation = math.sqrt(sum((r - sum(siblings) / G) ** 2 for r in siblings) / G) + 1e-6
            found.append((totals[row] - mean) / (deviation if o.scale == "std" else 1.0))
        return [dict.fromkeys(sampled(e.mask, row), found[row]) for row in range(P * G)]
    result: list[dict[int, float]] = []
    for row in range(P * G):
        steps = sampled(e.mask, row)
        earned = {t: (rewards[row] if t == steps[-1] else 0.0) - penalty[row][t] for t in steps}
        if o.baseline == "values":
            assert e.values is not None
            errors = {}
            for i, t in enumerate(steps):
                after = float(e.values[row, steps[i + 1]]) if i + 1 < len(steps) else 0.0
                errors[t] = earned[t] + o.value.discount * after - float(e.values[row, t])
            decay = o.value.discount * o.value.trace
            result.append(
                {t: sum(decay ** (j - i) * errors[steps[j]] for j in range(i, len(steps))) for i, t in enumerate(steps)}
            )
        else:
            result.append({t: sum(earned[u] for u in steps if u >= t) for t in steps})
    everything = [a for row in result for a in row.values()]
    if o.baseline == "none" and o.scale == "std":
        mean = sum(everything) / len(everything)
        deviation = math.sqrt(sum((a - mean) ** 2 for a in everything) / len(everything))
        result = [{t: (a - mean) / deviation for t, a in row.items()} for row in result]
    return result


def naive_loss(o: Objective, s: SampledTokens, beta: float, entropy_coefficient: float) -> float:
    """The loss of all rows, from floats only."""
    rows = []  # per row: loss, kl and entropy of each sampled token
    for row in range(len(s.mask)):
        steps = sampled(s.mask, row)
        log_ratio = {t: float(s.log_probs[row, t] - s.old_log_probs[row, t]) for t in steps}
        losses, kls = [], []
        for t in steps:
            exponent = log_ratio[t]
            if o.ratio == "sequence_mean":
                exponent = sum(log_ratio.values()) / len(steps)
            if o.ratio == "sequence":
                exponent = sum(log_ratio.values())
            ratio, a, now = math.exp(exponent), float(s.advantages[row, t]), float(s.log_probs[row, t])
            low, high = 1 - o.clip_low, 1 + o.clip_high
            loss = {
                "clipped": -min(ratio * a, min(max(ratio, low), high) * a),
                "clipped_weight": -min(max(ratio, low), high) * a * now,
                "likelihood": -a * now,
            }[o.surrogate]
            if o.correction.level != "none":
                assert s.engine_log_probs is not None
                gaps = {u: float(s.old_log_probs[row, u] - s.engine_log_probs[row, u]) for u in steps}
                weight = math.exp(gaps[t] if o.correction.level == "token" else sum(gaps.values()))
                cut = o.correction.highest if o.correction.beyond == "truncate" else 0.0
                loss *= weight if weight <= o.correction.highest else cut
            losses.append(loss)
            assert s.reference_log_probs is not None
            kls.append(k(o.kl_estimator, now, float(s.reference_log_probs[row, t])))
        rows.append((losses, kls, [float(s.entropy[row, t]) for t in steps]))

    def together(part: int, how: str) -> float:
        kept = [row[part] for row in rows if row[part]]
        if how == "token":
            return sum(map(sum, kept)) / sum(map(len, kept))
        if how == "constant":
            return sum(map(sum, kept)) / (o.longest * len(kept))
        return sum(sum(row) / len(row) for row in kept) / len(kept)

    loss = together(0, o.aggregation)
    if o.kl_placement == "loss":
        loss += beta * together(1, o.aggregation)
    return loss - entropy_coefficient * together(2, "token")


# --------------------------------------------------------------------------------------------------------- equalities

VARIANTS: dict[str, dict[str, Any]] = {
    "as the paper has it": {},
    "KL in the reward": {"kl": KLConfig(coefficient=0.3, placement="reward")},
    "KL in the loss": {"kl": KLConfig(coefficient=0.3, placement="loss")},
    "k2 in the loss": {"kl": KLConfig(coefficient=0.3, placement="loss", estimator="k2")},
    "k2 in the reward": {"kl": KLConfig(coefficient=0.3, placement="reward", estimator="k2")},
    "without standard deviation": {"advantage_scale": "none"},
    "with standard deviation": {"advantage_scale": "std"},
}
CORRECTIONS = [
    CorrectionConfig(old_log_probs="recomputed", level=level, highest=1.3, beyond=beyond)
    for level in ("token", "sequence")
    for beyond in ("truncate", "mask")
]


def check(made: Objective) -> None:
    episodes, tokens = drawn()
    beta, entropy = made.kl_coefficient or 0.2, 0.05
    found = made.advantages(episodes, beta)
    expected = torch.zeros_like(found)
    for row, by_token in enumerate(naive_advantages(made, episodes, beta)):
        for t, advantage in by_token.items():
            expected[row, t] = advantage
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
    tokens = replace(tokens, advantages=found)
    loss, _ = made.loss(tokens, LossCounts.of(tokens.mask), kl_coefficient=beta, entropy_coefficient=entropy)
    assert loss.item() == pytest.approx(naive_loss(made, tokens, beta, entropy), abs=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", NAMES)
def test_an_objective_is_what_a_loop_computes(name: ObjectiveName, variant: str) -> None:
    check(make_objective(name, longest=LONGEST, **VARIANTS[variant]))


@pytest.mark.parametrize("aggregation", ["sequence", "token", "constant"])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "rloo"])
def test_every_aggregation_is_what_a_loop_computes(name: ObjectiveName, aggregation: Any) -> None:
    check(make_objective(name, GRPOConfig(aggregation=aggregation), longest=LONGEST))


@pytest.mark.parametrize("correction", CORRECTIONS, ids=lambda c: f"{c.level}-{c.beyond}")
@pytest.mark.parametrize("name", ["grpo", "gspo", "cispo", "ppo"])
def test_every_correction_is_what_a_loop_computes(name: ObjectiveName, correction: CorrectionConfig) -> None:
    check(make_objective(name, correction=correction, longest=LONGEST))


RECORDED = json.loads((Path(__file__).parents[2] / "fixtures" / "trl_losses.json").read_text())


def _corrected(level: Any, beyond: Any) -> dict[str, Any]:
    correction = CorrectionConfig(old_log_probs="recomputed", level=level, beyond=beyond, highest=2.0)
    return {"kl": KLConfig(coefficient=0.0), "correction": correction}


OURS_OF_TRL: dict[str, tuple[ObjectiveName, dict[str, Any]]] = {
    "grpo": ("grpo", {"kl": KLConfig(coefficient=0.04)}),
    "dr_grpo": ("dr_grpo", {}),
    "dapo": ("dapo", {}),
    "gspo": ("gspo", {}),
    "cispo": ("cispo", {}),
    "rloo": ("rloo", {}),
    "token_truncate": ("grpo", _corrected("token", "truncate")),
    "token_mask": ("grpo", _corrected("token", "mask")),
    "sequence_truncate": ("grpo", _corrected("sequence", "truncate")),
    "entropy_bonus": ("grpo", {"kl": KLConfig(coefficient=0.0), "grpo": GRPOConfig(entropy_coefficient=0.01)}),
}


@pytest.mark.parametrize("case", RECORDED["losses"])
def test_a_loss_is_the_one_that_trl_computes(case: str) -> None:
    name, options = OURS_OF_TRL[case]
    given = {key: torch.tensor(value) for key, value in RECORDED["inputs"].items()}
    mask = given["mask"].bool()
    made = make_objective(name, longest=RECORDED["longest"], **options)
    tokens = SampledTokens(
        log_probs=given["log_probs"],
        entropy=given["entropy"],
        mask=mask,
        advantages=torch.where(mask, given["advantages"][:, None], 0.0),
        old_log_probs=given["old"],
        engine_log_probs=given["engine"],
        reference_log_probs=given["reference"],
    )
    loss, _ = made.loss(
        tokens,
        LossCounts.of(mask),
        kl_coefficient=made.kl_coefficient,
        entropy_coefficient=made.entropy_coefficient,
    )
    assert loss.item() == pytest.approx(RECORDED["losses"][case], abs=1e-6)


# ---------------------------------------------------------------------------------------------------------- gradients


def loss_of(made: Objective, tokens: SampledTokens, log_probs: Tensor) -> Tensor:
    scored = replace(tokens, log_probs=log_probs)
    return made.loss(scored, LossCounts.of(tokens.mask), kl_coefficient=0.3, entropy_coefficient=0.0)[0]


@pytest.mark.parametrize("name", [name for name in NAMES if OBJECTIVES[name].ratio == "token" and name != "cispo"])
def test_gradients_are_those_of_finite_differences(name: ObjectiveName) -> None:
    made = make_objective(name, longest=LONGEST)
    episodes, tokens = drawn(1)
    tokens = replace(tokens, advantages=made.advantages(episodes, 0.3))
    assert torch.autograd.gradcheck(lambda x: loss_of(made, tokens, x), tokens.log_probs.clone().requires_grad_())


@pytest.mark.parametrize(("name", "power"), [("gspo", 1), ("rloo", 0)])
def test_a_sequence_ratio_gives_each_token_the_gradient_of_its_own_advantage(name: ObjectiveName, power: int) -> None:
    made = replace(make_objective(name), clip_low=1.0, clip_high=1e6)  # never clipped
    episodes, tokens = drawn(2)
    advantages = torch.where(tokens.mask, made.advantages(episodes, 0.0) + torch.linspace(-1, 1, T), 0.0)
    tokens = replace(tokens, advantages=advantages, reference_log_probs=None)
    log_probs = tokens.log_probs.clone().requires_grad_()
    loss_of(made, tokens, log_probs).backward()
    difference = torch.where(tokens.mask, tokens.log_probs - tokens.old_log_probs, 0.0)
    lengths = tokens.mask.sum(dim=1, keepdim=True)
    # GSPO: mean over tokens of s A grad log p, s the geometric mean; RLOO: their sum, with the product.
    ratio = (difference.sum(dim=1, keepdim=True) / (lengths if power else 1)).exp()
    expected = -ratio * advantages / lengths**power / len(advantages)
    assert log_probs.grad is not None
    torch.testing.assert_close(log_probs.grad, torch.where(tokens.mask, expected, 0.0))


def test_no_token_loses_its_gradient_in_cispo_while_its_weight_is_bounded() -> None:
    made = replace(make_objective("cispo"), clip_high=0.1)
    episodes, tokens = drawn(3)
    tokens = replace(tokens, advantages=made.advantages(episodes, 0.0), reference_log_probs=None)
    log_probs = tokens.log_probs.clone().requires_grad_()
    loss_of(made, tokens, log_probs).backward()
    assert log_probs.grad is not None
    weight = (tokens.log_probs - tokens.old_log_probs).exp().clamp(max=1.1)
    assert (weight[tokens.mask] == 1.1).any()
    expected = torch.where(tokens.mask, -weight * tokens.advantages / tokens.mask.sum(), 0.0)
    torch.testing.assert_close(log_probs.grad, expected)


def test_parts_of_a_step_add_up_to_the_whole_for_every_objective_and_aggregation() -> None:
    for name in NAMES:
        for aggregation in ("sequence",) if name == "rloo" else ("sequence", "token", "constant"):
            made = make_objective(name, GRPOConfig(aggregation=aggregation), longest=LONGEST)  # type: ignore[arg-type]
            episodes, tokens = drawn(4)
            tokens = replace(tokens, advantages=made.advantages(episodes, 0.3))
            counts = LossCounts.of(tokens.mask)
            options = {"kl_coefficient": 0.3, "entropy_coefficient": 0.1}
            whole, _ = made.loss(tokens, counts, **options)
            parts = [made.loss(rows(tokens, part), counts, **options)[0] for part in ([0], [1, 4], [2, 3, 5])]
            torch.testing.assert_close(sum(parts), whole)


def rows(tokens: SampledTokens, which: list[int]) -> SampledTokens:
    given = {name: getattr(tokens, name) for name in SampledTokens.__slots__}
    return SampledTokens(**{name: tensor[which] for name, tensor in given.items() if tensor is not None})


# ----------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("grpo", {"kl": KLConfig(estimator="k1")}, "expected gradient of zero in the loss"),
        ("rloo", {"kl": KLConfig(placement="loss", estimator="k1")}, "expected gradient of zero in the loss"),
        ("grpo", {"correction": CorrectionConfig(level="token")}, "add rl.correction.old_log_probs=recomputed"),
        ("reinforce", {"grpo": GRPOConfig(inner_epochs=2)}, "learns only from episodes of its newest weights"),
        ("rloo", {"grpo": GRPOConfig(aggregation="token")}, "takes an episode as one action"),
        ("dapo", {"kl": KLConfig(target=0.1)}, "adapts a weight that is 0 under rl.objective=dapo"),
    ],
)
def test_parts_that_do_not_go_together_are_refused(name: Any, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        make_objective(name, **options)


def test_k1_is_fine_where_it_weighs_nothing_or_stands_in_the_reward() -> None:
    assert make_objective("grpo", kl=KLConfig(coefficient=0.0, estimator="k1")).kl_estimator == "k1"
    assert make_objective("grpo", kl=KLConfig(placement="reward")).kl_estimator == "k1"
    assert make_objective("ppo", kl=KLConfig(placement="loss")).kl_estimator == "k3"


def test_the_value_loss_adds_what_the_values_misjudge() -> None:
    made = make_objective("ppo", value=ValueConfig(coefficient=0.5, clip=0.2))
    _, tokens = drawn(5)
    old, returns = torch.zeros_like(tokens.log_probs), torch.ones_like(tokens.log_probs)
    scored = replace(tokens, values=old + 0.5, old_values=old, returns=returns)
    counts = LossCounts.of(tokens.mask)
    plain, _ = made.loss(tokens, counts, kl_coefficient=0.0, entropy_coefficient=0.0)
    loss, stats = made.loss(scored, counts, kl_coefficient=0.0, entropy_coefficient=0.0)
    # Clipped at 0.2, a value is 0.8 off; unclipped 0.5: the worse counts.
    assert stats["value_loss"].item() == pytest.approx(0.5 * 0.8**2)
    assert (loss - plain).item() == pytest.approx(0.5 * 0.5 * 0.8**2)
