"""The optimisers of a run against the policy that they will train, before anything is spent on it."""

from __future__ import annotations

from medvista.app.config.schema import ExperimentConfig
from medvista.app.plan import needed_stages
from medvista.app.stage_settings import SECTIONS
from medvista.errors import UserError
from medvista.modules.optimisation import rate_groups, warn_of_lost_updates
from medvista.modules.optimisers import check_optimiser
from medvista.notices import notice
from medvista.policies import VLMPolicy
from medvista.policies.adapters import has_adapters

_TRAINING = ("direct", "sft", "rl")  # the sections that have an optimiser


def check_optimisers(config: ExperimentConfig, base: VLMPolicy) -> None:
    """Says how many updates would be lost, and refuses what cannot train.

    Args:
        config: of the run.
        base: the policy that the stages start from, as it is loaded for training.

    Raises:
        UserError: a package is missing, a pattern names no weight, or no weight has a learning rate.
    """
    used = {section for stage in needed_stages(config) for section in SECTIONS[stage]}
    for section in (name for name in _TRAINING if name in used):
        optimiser = getattr(config, section).optimiser
        check_optimiser(optimiser)
        groups = rate_groups(base, optimiser)
        if not any(group["lr"] for group in groups):
            raise UserError(
                f"{section}.optimiser would train nothing: all that policy.freeze leaves has a learning rate of 0."
            )
        if has_adapters(base.model) and not all(group["lr"] for group in groups):
            notice("adapters stay as they begin, since their part of the model has a learning rate of 0", section)
        warn_of_lost_updates(groups)
