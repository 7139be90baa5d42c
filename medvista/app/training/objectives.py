"""The configured objective, and whether the rest of the configuration goes with it."""

from __future__ import annotations

from medvista.app.config.schema import ExperimentConfig
from medvista.errors import UserError
from medvista.functional.objectives import Objective, make_objective


def objective_of(config: ExperimentConfig) -> Objective:
    """What reinforcement learning optimises.

    Raises:
        UserError: its parts do not go together.
    """
    rl = config.rl
    same_numbers = config.policy.engine == "transformers"
    objective = make_objective(
        rl.objective,
        rl.grpo,
        advantage_scale=rl.advantage_scale,
        kl=rl.kl,
        correction=rl.correction.decided(same_numbers=same_numbers),
        value=rl.value,
        longest=config.max_new_tokens * config.env.max_turns,
    )
    if objective.compares_siblings and rl.group_size < 2:
        raise UserError(
            f"rl.group_size={rl.group_size} leaves an episode nothing to be compared with under rl.objective="
            f"{rl.objective}: set at least 2, or use reinforce_plus_plus, ppo or reinforce."
        )
    return objective


def filter_of(config: ExperimentConfig) -> str | None:
    """What the siblings of a group have to differ in to be learned from: total, a reward term, or None for nothing.

    Raises:
        UserError: ``rl.filter_on`` is no term of the reward.
    """
    rl = config.rl
    if rl.filter_on is None:
        if rl.objective == "dapo" and "accuracy" in rl.reward:
            return "accuracy"
        return "total" if objective_of(config).compares_siblings else None
    if rl.filter_on == "none":
        return None
    if rl.filter_on != "total" and rl.filter_on not in rl.reward:
        known = ", ".join(["total", "none", *rl.reward])
        raise UserError(f"rl.filter_on={rl.filter_on} is no term of rl.reward: use one of {known}.")
    return rl.filter_on
