"""What a configuration file may set about what reinforcement learning optimises; see docs/objectives.md."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from medvista.schema_field import setting

ObjectiveName = Literal["grpo", "dr_grpo", "dapo", "gspo", "cispo", "rloo", "reinforce_plus_plus", "ppo", "reinforce"]
KLEstimator = Literal["k1", "k2", "k3"]
KLPlacement = Literal["loss", "reward"]
CorrectionLevel = Literal["none", "token", "sequence"]


@dataclass(frozen=True, kw_only=True)
class KLConfig:
    """The KL to the policy that reinforcement learning started from."""

    coefficient: float | None = setting(
        None,
        help="Its weight; null: the objective's own, for grpo 0.01. 0 spares the reference's forward pass; GRPO's "
        "paper (arXiv 2402.03300) takes 0.04.",
        least=0,
        also=("beta", "kl", "kl_coefficient", "kl_coef", "kl_loss_coef", "rl.grpo.kl_coefficient"),
    )
    placement: KLPlacement | None = setting(
        None,
        help="Where it is counted: in the loss, or taken off the reward; null: where the objective has it.",
        also=("use_kl_in_reward", "use_kl_loss"),
    )
    estimator: KLEstimator | None = setting(
        None,
        help="How it is estimated from samples; null: k3 in the loss, k1 in the reward. As a loss, k2 has the gradient "
        "of KL(policy || reference) and k3, GRPO's choice, that of KL(reference || policy); k1 has none on average and "
        "is refused. In the reward, k1 has the gradient of KL(policy || reference).",
        also=("kl_estimator", "kl_penalty", "rl.grpo.kl_estimator"),
    )
    target: float | None = setting(
        None,
        help="KL per token, in nats, that the weight is adapted to after each update (arXiv 1909.08593, section 2.2); "
        "null: the weight is fixed.",
        above=0,
        also=("target_kl", "kl_target"),
    )


@dataclass(frozen=True, kw_only=True)
class CorrectionConfig:
    """Whose log-probabilities are the old ones, and how a mismatch between engine and trainer is corrected."""

    old_log_probs: Literal["engine", "recomputed"] | None = setting(
        None,
        help="Where the old log-probabilities of the ratio come from: the engine that sampled, or the trainer's "
        "weights before the update, which costs a forward pass; null: recomputed with policy.engine=vllm, else engine.",
    )
    level: CorrectionLevel | None = setting(
        None,
        help="Weighs losses by how much likelier the trainer found the tokens before the update than the engine that "
        "sampled them did: token by token, or by the product over each episode. Needs old_log_probs=recomputed. "
        "Tokens of older weights are corrected alike. null: token with policy.engine=vllm, else none.",
        also=("importance_sampling_level", "tis", "rollout_is"),
    )
    highest: float = setting(
        2.0,
        help="Largest weight (truncated importance sampling, Ionides 2008).",
        above=0,
        also=("tis_imp_ratio_cap", "importance_sampling_cap"),
    )
    beyond: Literal["truncate", "mask"] = setting(
        "truncate", help="What becomes of larger weights: they are cut to the largest, or their tokens left out."
    )

    def decided(self, *, same_numbers: bool) -> CorrectionConfig:
        """What is left open, decided.

        Args:
            same_numbers: whether the engine computes what the trainer does, so that there is nothing to correct.
        """
        level: CorrectionLevel = "none" if same_numbers else "token"
        return replace(
            self,
            old_log_probs=self.old_log_probs or ("engine" if same_numbers else "recomputed"),
            level=self.level or level,
        )


@dataclass(frozen=True, kw_only=True)
class CurriculumConfig:
    """A curriculum by difficulty: questions that are sometimes answered rightly are played more often."""

    enabled: bool = setting(
        False,
        help="Whether questions are drawn by their success rate p so far, with weight floor + (1 - floor) 4 p (1 - p); "
        "else all are played in turn.",
    )
    floor: float = setting(
        0.1, help="Weight of a question that is always or never answered rightly, of at most 1.", above=0, most=1
    )
    memory: float = setting(
        0.5, help="What the earlier episodes of a question count when it is played again.", least=0, most=1
    )


@dataclass(frozen=True, kw_only=True)
class ValueConfig:
    """The value head of rl.objective=ppo, a linear map of the policy's last hidden state."""

    discount: float = setting(1.0, help="Discount per token that the policy wrote.", least=0, most=1, also=("gamma",))
    trace: float = setting(
        0.95,
        help="Decay of generalised advantage estimation (arXiv 1506.02438).",
        least=0,
        most=1,
        also=("lam", "lambda"),
    )
    coefficient: float = setting(0.1, help="Weight of the value loss.", least=0, also=("vf_coef",))
    clip: float = setting(0.2, help="How far a value may move per update; 0: as far as it likes.", least=0)
