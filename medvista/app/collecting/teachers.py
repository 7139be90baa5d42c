"""Who plays the episodes that become demonstrations."""

from __future__ import annotations

from dataclasses import dataclass

from medvista.app.arms import WITH_TOOLS
from medvista.app.config.schema import ExperimentConfig
from medvista.app.model_check import hold_to_checks
from medvista.app.players import Players
from medvista.app.processes import evaluation_device
from medvista.app.training.base_model import BaseModel
from medvista.data.expert import ScriptedExpert
from medvista.policies import SamplingParams
from medvista.rollout import MakeForkCollector, RolloutCollector


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher:
    """One who plays, and goes on from forks of what was played."""

    name: str  # for the dataset card
    collector: RolloutCollector
    forks: MakeForkCollector
    params: SamplingParams


def make_teacher(players: Players) -> Teacher:
    """The configured teacher.

    Raises:
        UserError: the model cannot be loaded or asked.
    """
    config = players.config
    params = SamplingParams(max_new_tokens=config.max_new_tokens, temperature=config.collect.temperature)
    if config.collect.teacher == "policy":
        base = BaseModel(players)
        policy = base.policy().eval().to(evaluation_device(config.trainer))
        hold_to_checks(policy, str(base.path), view_size=config.env.view_size)
        name = f"the policy {config.policy.path or 'of policy.nano'}, temperature {config.collect.temperature:g}"
        collector = players.collector(policy, WITH_TOOLS)
        return Teacher(name=name, collector=collector, forks=players.fork_collector(policy, WITH_TOOLS), params=params)
    expert = ScriptedExpert(config.sft.expert, tools=bool(config.env.tools))
    engine = players.expert_engine(None, expert) if config.collect.teacher == "expert" else None
    collector = players.collector(None, WITH_TOOLS, engine)
    forks = players.fork_collector(None, WITH_TOOLS)
    return Teacher(name=_name(config), collector=collector, forks=forks, params=params)


def _name(config: ExperimentConfig) -> str:
    endpoint = config.policy.endpoint
    if config.collect.teacher == "expert" or endpoint is None:
        return f"the scripted expert, {config.sft.expert.jitter_share:.0%} of its boxes moved"
    return f"{endpoint.model} at {endpoint.url}, temperature {config.collect.temperature:g}"
