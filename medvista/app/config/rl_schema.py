"""The keys of reinforcement learning."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from medvista.rl_settings import CorrectionConfig, CurriculumConfig, KLConfig, ObjectiveName, ValueConfig
from medvista.schema_field import setting
from medvista.settings import AdvantageScale, EndpointConfig, GRPOConfig, OptimiserConfig, ReferenceKind


@dataclass(kw_only=True)
class RLConfig:
    """Reinforcement learning on the policy's own rollouts."""

    updates: int = setting(
        80,
        help="Updates; each plays prompts x group_size episodes.",
        above=0,
        also=("steps", "iterations", "max_steps"),
    )
    prompts: int = setting(24, help="Questions per update.", above=0, also=("batch_size", "train_batch_size"))
    group_size: int = setting(
        8, help="Sibling episodes per question.", above=0, also=("num_generations", "rollouts", "n")
    )
    temperature: float = setting(1.0, help="Sampling temperature of the episodes that are trained on.", above=0)
    objective: ObjectiveName = setting(
        "grpo",
        help="What is optimised, docs/objectives.md: advantages, surrogate, clips, aggregation and place of the KL, "
        "as its paper has them; keys of rl, rl.grpo and rl.kl that are given win over it.",
        also=("algorithm", "adv_estimator", "surrogate", "rl.grpo.surrogate"),
    )
    advantage_scale: AdvantageScale | None = setting(
        None,
        help="What an advantage is divided by: the standard deviation of its group (GRPO, arXiv 2402.03300), or "
        "nothing (Dr. GRPO, arXiv 2503.20783); null: as the objective does.",
        also=("scale_rewards",),
    )
    filter_on: str | None = setting(
        None,
        help="Groups whose siblings are all equal in this are left out: total, a reward term such as accuracy (DAPO), "
        "or none. null: accuracy for dapo, total for other objectives that compare siblings, else none.",
        also=("filter_groups",),
    )
    filter_tolerance: float = setting(
        1e-6, help="Difference between siblings up to which they count as equal.", least=0
    )
    oversample: float = setting(
        1.0,
        help="Groups played by how many an update learns from: the first rl.prompts of them with variance are kept, in "
        "the order in which they were drawn, the rest are left out and counted.",
        least=1,
    )
    refill_rounds: int = setting(
        0, help="How often groups whose rewards are all equal are played again on other questions (DAPO).", least=0
    )
    reward: dict[str, float] = setting(
        {"accuracy": 1.0, "format": 0.1},
        help="Weight of each reward term. A mapping replaces all of them; rl.reward.format=0.2 sets one. Terms: "
        "accuracy, format, tool_success, tool_cost and others, docs/rewards.md; my_module.my_term is one of yours.",
        also=("reward_funcs", "reward_weights"),
    )
    reward_options: dict[str, dict[str, float]] = setting(
        {}, help="Options of reward terms, by name, such as {overlong: {limit: 96, margin: 32}}."
    )
    judge: EndpointConfig | None = None
    judge_agreement: float = setting(
        0.9,
        help="Share of the labelled answers on which a judge has to agree before the reward term judge may train; "
        "`python -m experiments.score --audit` asks it.",
        least=0,
        most=1,
    )
    credit: Literal["outcome", "counterfactual"] = setting(
        "outcome",
        help="What a call is credited with: what its episode earned, or also what it would not have earned had the "
        "call shown nothing, found by forking episodes at their calls, docs/objectives.md.",
    )
    credit_share: float = setting(
        0.25, help="Share of the episodes that are forked; a smaller one costs less and varies more.", above=0, most=1
    )
    credit_forks: int = setting(1, help="Forks per call.", above=0)
    credit_weight: float = setting(1.0, help="Weight of the credit in the advantage of a call's tokens.", least=0)
    decomposition: bool = setting(
        False,
        help="Whether every validation asks its questions three times, with tools, without, and with tools whose "
        "results are blanked, to tell what was learned from what the tools add (MED, arXiv 2602.01334).",
    )
    monitor: Literal["warn", "stop", "off"] = setting(
        "warn", help="What becomes of training that collapses, docs/objectives.md: a warning with advice, or its end."
    )
    check_batches: bool = setting(
        True,
        help="Whether every batch is held to what training takes for granted, docs/objectives.md.",
    )
    engine_tolerance: float = setting(
        2.0,
        help="Largest difference, in nats, that engine and trainer may have about a token with the same weights.",
        above=0,
    )
    curriculum: CurriculumConfig = field(default_factory=CurriculumConfig)
    kl: KLConfig = field(default_factory=KLConfig)
    correction: CorrectionConfig = field(default_factory=CorrectionConfig)
    value: ValueConfig = field(default_factory=ValueConfig)
    grpo: GRPOConfig = field(default_factory=GRPOConfig)
    reference: ReferenceKind = setting(
        "copy",
        help="The policy of the KL term. copy: the weights that are trained as RL began (of adapters, a small copy); "
        "cpu: the same, kept in the processor's memory; adapters_off: the weights without their adapters; ema: a "
        "moving average of the policy.",
    )
    reference_decay: float = setting(
        0.99, help="Share of the old average that an update keeps, of rl.reference=ema.", least=0, most=1
    )
    optimiser: OptimiserConfig = field(default_factory=lambda: OptimiserConfig(learning_rate=1e-4))
