"""The objectives by name, as their papers have them; docs/objectives.md has the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from medvista.errors import UserError
from medvista.functional.objectives.objective import Objective
from medvista.rl_settings import CorrectionConfig, KLConfig, ObjectiveName, ValueConfig
from medvista.settings import AdvantageScale, GRPOConfig

# arXiv 2402.03300, eq. 3 and 4. The paper's weight of the KL is 0.04.
_GRPO = Objective(
    baseline="group",
    scale="std",
    ratio="token",
    surrogate="clipped",
    aggregation="sequence",
    clip_low=0.2,
    clip_high=0.2,
    kl_coefficient=0.01,
    kl_placement="loss",
    kl_estimator="k3",
)
# A value of the whole episode, with the KL in its reward.
_EPISODE = replace(_GRPO, kl_placement="reward", kl_estimator="k1")

OBJECTIVES: Mapping[ObjectiveName, Objective] = {
    "grpo": _GRPO,
    # arXiv 2503.20783, section 3.2: neither standard deviation nor length bias.
    "dr_grpo": replace(_GRPO, scale="none", aggregation="constant", kl_coefficient=0.0),
    # arXiv 2503.14476, eq. 8: clip-higher, mean over tokens; its dynamic sampling is rl.filter_on.
    "dapo": replace(_GRPO, aggregation="token", clip_high=0.28, kl_coefficient=0.0),
    # arXiv 2507.18071, eq. 5 to 7, clips of section 5.1.
    "gspo": replace(_GRPO, ratio="sequence_mean", clip_low=3e-4, clip_high=4e-4, kl_coefficient=0.0),
    # arXiv 2506.13585, eq. 4 and 5: no bound below; the paper names none above, arXiv 2510.13786 takes 5.
    "cispo": replace(
        _GRPO, surrogate="clipped_weight", aggregation="token", clip_low=1.0, clip_high=4.0, kl_coefficient=0.0
    ),
    # arXiv 2402.14740, section 3: the episode is one action.
    "rloo": replace(_EPISODE, baseline="leave_one_out", scale="none", ratio="sequence"),
    # arXiv 2501.03262: rewards to go, KL included, standardised over the whole update.
    "reinforce_plus_plus": replace(_EPISODE, baseline="none", aggregation="token"),
    # arXiv 1707.06347, eq. 7 and 9, advantages of arXiv 1506.02438.
    "ppo": replace(_EPISODE, baseline="values", aggregation="token"),
    # Williams 1992, doi 10.1007/BF00992696.
    "reinforce": replace(_EPISODE, baseline="none", scale="none", surrogate="likelihood", aggregation="constant"),
}


def make_objective(
    name: ObjectiveName = "grpo",
    grpo: GRPOConfig | None = None,
    *,
    advantage_scale: AdvantageScale | None = None,
    kl: KLConfig | None = None,
    correction: CorrectionConfig | None = None,
    value: ValueConfig | None = None,
    longest: int = 1,
) -> Objective:
    """An objective by name, with what a configuration sets otherwise than its paper.

    Args:
        name: of the objective.
        grpo: aggregation, clips and entropy bonus.
        advantage_scale: what advantages are divided by.
        kl: weight, place and estimator of the KL.
        correction: of tokens that another distribution sampled.
        value: of the value head.
        longest: tokens that an episode may write.

    Raises:
        UserError: the parts do not go together.

    >>> make_objective("dapo").clip_high, make_objective("dapo", GRPOConfig(clip_high=0.25)).clip_high
    (0.28, 0.25)
    """
    grpo, kl, correction = grpo or GRPOConfig(), kl or KLConfig(), correction or CorrectionConfig()
    made = replace(
        OBJECTIVES[name],
        **_given(grpo, kl) | ({} if advantage_scale is None else {"scale": advantage_scale}),
        entropy_coefficient=grpo.entropy_coefficient,
        longest=longest,
        correction=correction.decided(same_numbers=True),
        value=value or ValueConfig(),
    )
    if kl.target is not None and not made.kl_coefficient:
        raise UserError(
            f"rl.kl.target={kl.target} adapts a weight that is 0 under rl.objective={name}: give rl.kl.coefficient, "
            "such as 0.01."
        )
    _check(name, grpo, made)
    return made


def _given(grpo: GRPOConfig, kl: KLConfig) -> dict[str, Any]:
    """The parts that a configuration sets itself."""
    parts = {
        "aggregation": grpo.aggregation,
        "clip_low": grpo.clip_low,
        "clip_high": grpo.clip_high,
        "kl_coefficient": kl.coefficient,
        "kl_placement": kl.placement,
        "kl_estimator": kl.estimator or {"loss": "k3", "reward": "k1", None: None}[kl.placement],
    }
    return {part: value for part, value in parts.items() if value is not None}


def _check(name: str, grpo: GRPOConfig, made: Objective) -> None:
    if made.kl_coefficient and (made.kl_placement, made.kl_estimator) == ("loss", "k1"):
        raise UserError(
            "rl.kl.estimator=k1 has an expected gradient of zero in the loss, so it would hold nothing back: use k2 or "
            "k3, or rl.kl.placement=reward."
        )
    if made.correction.level != "none" and made.correction.old_log_probs == "engine":
        raise UserError(
            f"rl.correction.level={made.correction.level} compares the engine with the trainer: add "
            "rl.correction.old_log_probs=recomputed."
        )
    if made.surrogate == "likelihood" and grpo.minibatches * grpo.inner_epochs > 1:
        raise UserError(
            f"rl.objective={name} learns only from episodes of its newest weights: set rl.grpo.minibatches=1 and "
            "rl.grpo.inner_epochs=1."
        )
    if made.ratio == "sequence" and made.aggregation != "sequence":
        raise UserError(
            f"rl.objective={name} takes an episode as one action, which rl.grpo.aggregation={made.aggregation} would "
            "weigh by its length: leave it out."
        )
