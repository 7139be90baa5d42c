"""The weights of KL and entropy in an update, fixed or adapted after each."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from medvista.functional.objectives import Objective, adapted_entropy_coefficient, adapted_kl_coefficient
from medvista.ranks import totals, world_size
from medvista.rl_settings import KLConfig
from medvista.settings import GRPOConfig


class Coefficients:
    """What KL and entropy bonus weigh now; the same in every process, and kept in checkpoints.

    Args:
        objective: whose weights they begin with.
        kl: with the target of the KL, if its weight follows one.
        config: with the target of the entropy, if its weight follows one.
    """

    def __init__(self, objective: Objective, kl: KLConfig, config: GRPOConfig) -> None:
        self.kl = objective.kl_coefficient
        self.kl_target = kl.target
        self.entropy_target = config.entropy_target
        self._entropy = objective.entropy_coefficient
        self._entropy_is_low = True  # as long as nobody has measured it

    @property
    def entropy(self) -> float:
        """The weight of the entropy bonus, which under a target is paid only while the entropy is below it."""
        return self._entropy if self.entropy_target is None or self._entropy_is_low else 0.0

    @property
    def entropy_matters(self) -> bool:
        """Whether the loss needs the gradient of the entropy, which costs three times the memory of the logits."""
        return bool(self.entropy)

    def adapt(self, means: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Adapts what follows a target to an update; a collective step.

        Args:
            means: what this process logged of the update.

        Returns:
            The weights of the next update, to be logged; nothing where they are fixed.
        """
        shown = {}
        if self.kl_target is not None:
            self.kl = adapted_kl_coefficient(self.kl, _over_processes(means["train/kl"]), self.kl_target)
            shown["train/kl_coefficient"] = torch.tensor(self.kl)
        if self.entropy_target is not None:
            entropy = _over_processes(means["train/entropy"])
            self._entropy = adapted_entropy_coefficient(self._entropy, entropy, self.entropy_target)
            self._entropy_is_low = entropy < self.entropy_target
            shown["train/entropy_coefficient"] = torch.tensor(self.entropy)
        return shown

    def state_dict(self) -> dict[str, float]:
        """The weights of the next update."""
        return {"kl": self.kl, "entropy": self._entropy, "entropy_is_low": self._entropy_is_low}

    def load_state_dict(self, state_dict: Mapping[str, float]) -> None:
        """Goes on with adapted weights; fixed ones are the configuration's."""
        if self.kl_target is not None:
            self.kl = state_dict.get("kl", self.kl)
        if self.entropy_target is not None:
            self._entropy = state_dict.get("entropy", self._entropy)
            self._entropy_is_low = bool(state_dict.get("entropy_is_low", True))


def _over_processes(mean: Tensor) -> float:
    """Each process divides by its share of the counts, so the mean over processes is that over all rows."""
    return totals({"mean": float(mean)})["mean"] / world_size()
