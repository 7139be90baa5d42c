"""A language model as judge in the reward: where it is asked, and whether it may be believed."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from medvista.app.config.schema import ExperimentConfig
from medvista.app.terminal import say
from medvista.endpoint import ChatEndpoint
from medvista.errors import UserError
from medvista.metrics import Judge, ask_endpoint, read_audit
from medvista.settings import EndpointConfig
from medvista.types import VQASample

_FOLDER = "judge"  # below cache_dir: verdicts and audits
AUDITS = Path(ExperimentConfig.cache_dir) / _FOLDER  # of runs that do not set cache_dir


class RewardJudge:
    """Asks the configured judge, through a cache on disk that all runs with the same ``cache_dir`` share.

    Args:
        config: of the run.

    Raises:
        UserError: no judge is configured.
    """

    def __init__(self, config: ExperimentConfig) -> None:
        self._config, self._folder = _judge_config(config), config.cache_dir / _FOLDER

    def verdict(self, prediction: str | None, sample: VQASample) -> float:
        """1 where it calls the answer right, else 0; a reply that is no verdict counts as wrong, and is counted."""
        return self._judge.verdict(prediction, sample)

    def close(self) -> None:
        """Says what was asked and what that cost, where anything was."""
        if "_endpoint" in vars(self):
            say(self._endpoint.cost_line())
            self._endpoint.close()

    @cached_property
    def _endpoint(self) -> ChatEndpoint:
        return ChatEndpoint(self._config)

    @cached_property
    def _judge(self) -> Judge:
        return Judge(self._config.model, ask_endpoint(self._endpoint), self._folder)


def asks_judge(config: ExperimentConfig) -> bool:
    """Whether the reward has the term ``judge``."""
    return "judge" in config.rl.reward


def check_judge(config: ExperimentConfig) -> None:
    """Refuses a judge that was not audited, or agreed too seldom.

    Raises:
        UserError: with the command that audits it.
    """
    if not asks_judge(config):
        return
    judge, folder = _judge_config(config), config.cache_dir / _FOLDER
    audit, least = read_audit(folder, judge.model), config.rl.judge_agreement
    if audit is None:
        command = (
            f"python -m experiments.score --audit judge.model={judge.model} judge.url={judge.url} judge_cache={folder}"
        )
        raise UserError(
            f"the judge {judge.model} may not train before its agreement with the labelled answers is known: {command}"
        )
    if audit.agreement < least:
        raise UserError(
            f"the judge {judge.model} agrees on {audit.agreement:.3f} of the labelled answers, less than "
            f"rl.judge_agreement={least:g}: take another judge, or rl.reward.accuracy in its place."
        )


def _judge_config(config: ExperimentConfig) -> EndpointConfig:
    judge = config.rl.judge
    if judge is None or not judge.model:
        raise UserError("the reward term judge needs a judge: rl.judge.model=NAME rl.judge.url=URL")
    return judge
