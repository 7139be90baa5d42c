"""What plays the episodes of a run: environments, tools and engines, put together for each arm's conditions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

import gymnasium

from medvista.app.arms import BLANKED, Conditions, ToolUse
from medvista.app.config.schema import ExperimentConfig
from medvista.app.progress import Progress
from medvista.app.questions import Questions
from medvista.app.reward_judge import RewardJudge, asks_judge
from medvista.app.toolboxes import find_tools, make_toolbox, step_threads
from medvista.data.expert import ScriptedExpert
from medvista.data.slake_masks import evidence_masks
from medvista.endpoint import ChatEndpoint
from medvista.envs import BlankImages, MedicalVQAEnv
from medvista.integrations.mcp_client import mcp_tools
from medvista.parsing import format_action
from medvista.policies import (
    ChatRenderer,
    EndpointEngine,
    Engine,
    ScriptedPolicy,
    TransformersEngine,
    VLLMEngine,
    VLLMModel,
    VLMPolicy,
)
from medvista.rewards import RewardFunction
from medvista.rollout import Fork, ForkedEngine, MakeForkCollector, RolloutCollector
from medvista.tools import BlankedCall, BlankResults, RandomRegions, Tool, Toolbox
from medvista.types import FinalAnswer, Observation, Trajectory


def _count_words(text: str) -> int:
    return len(text.split())


def _token_counter(tokenizer: Any) -> Callable[[str], int]:
    """Counts a turn as the tokenizer writes it, with the token that ends it."""
    return lambda text: len(tokenizer(text, add_special_tokens=False).input_ids) + 1


class Players:
    """Makes the collectors of a run. All share one toolbox, whose workers are started once; `close` ends them.

    Args:
        config: of the run.
        questions: whose episodes are played.
        progress: told how far training and playing are; by default nobody is.
    """

    def __init__(self, config: ExperimentConfig, questions: Questions, progress: Progress | None = None) -> None:
        self.config = config
        self.questions = questions
        self.progress = progress or Progress(shown=False)
        self._vllm: VLLMModel | None = None

    @cached_property
    def tools(self) -> list[Tool]:
        """The tools of the environment: registered ones, then those of MCP servers, which are started to ask."""
        env = self.config.env
        return [*find_tools(env), *mcp_tools(env.mcp_servers, taken=env.tools)]

    @cached_property
    def tools_in_use(self) -> Toolbox:
        """The one toolbox behind those of all arms: its workers are started once, and its metrics are the run's."""
        return make_toolbox(self.config.env, self.tools)

    def toolbox(self, use: ToolUse) -> Toolbox:
        """The tools of an arm."""
        if use == "none":
            return Toolbox([])
        return RandomRegions(self.tools_in_use) if use == "random" else self.tools_in_use

    def tool_metrics(self) -> dict[str, dict[str, Any]]:
        """How the calls of each tool went in this process so far."""
        return {name: asdict(metrics) for name, metrics in self.tools_in_use.metrics().items()}

    def close(self) -> None:
        """End the workers of tools and vLLM, where there are any, and say what a judge has cost."""
        if "judge" in vars(self):
            self.judge.close()
        if "tools_in_use" in vars(self):
            self.tools_in_use.close()
        if self._vllm is not None:
            self._vllm.close()
            self._vllm = None

    # ------------------------------------------------------------------------------------------------------ collectors

    def collector(
        self,
        policy: VLMPolicy | None,
        conditions: Conditions,
        engine: Engine | None = None,
        *,
        toolbox: Toolbox | None = None,
    ) -> RolloutCollector:
        """Plays episodes with a policy under an arm's conditions.

        Args:
            policy: None for the one behind the configured endpoint, which keeps no tokens.
            conditions: of the arm.
            engine: generates the turns instead of the policy's own engine.
            toolbox: runs the calls instead of the arm's own, and is described alike.
        """
        env, toolbox = self.config.env, toolbox or self.toolbox(conditions.tools)
        renderer = ChatRenderer(policy, toolbox.describe(env.prompt)) if policy is not None else None
        engine = engine or self.engine(policy, toolbox)
        count_tokens = _token_counter(policy.tokenizer) if policy is not None else _count_words
        envs = self._env_factory(conditions, toolbox, count_tokens)
        return RolloutCollector(envs, engine, renderer, workers=self._step_threads())

    def _step_threads(self) -> int | None:
        """See `step_threads`; a judge is waited for at the end of an episode, which the others should not wait for."""
        env = self.config.env
        return env.workers if asks_judge(self.config) else step_threads(env, self.tools)

    def collector_factory(self, conditions: Conditions) -> Callable[[VLMPolicy], RolloutCollector]:
        """For datamodules, which meet the policy when training begins."""
        return lambda policy: self.collector(policy, conditions)

    def fork_collector(self, policy: VLMPolicy | None, conditions: Conditions) -> MakeForkCollector:
        """Plays forks: an arm's episodes from one of their calls on, which is made to have shown nothing."""

        def make(forks: Sequence[Fork], number: int) -> RolloutCollector:
            which = {fork.episode.seed: fork.results_before for fork in forks}
            toolbox = BlankedCall(self.toolbox(conditions.tools), which)
            engine = ForkedEngine(forks, number, self.engine(policy, toolbox))
            return self.collector(policy, conditions, engine, toolbox=toolbox)

        return make

    def blanked_collector(self, policy: VLMPolicy, conditions: Conditions) -> RolloutCollector:
        """Plays an arm's episodes with every result of a tool blanked."""
        return self.collector(policy, conditions, toolbox=BlankResults(self.toolbox(conditions.tools)))

    def answers_collector(self, answers: Mapping[str, str]) -> RolloutCollector:
        """Plays episodes whose answers are known beforehand, by the id of the question: guesses, scored like all."""

        def script(trajectory: Trajectory) -> str:
            return format_action(FinalAnswer(text=answers[trajectory.sample.id]))

        return RolloutCollector(self._env_factory(BLANKED, Toolbox([])), ScriptedPolicy(script), renderer=None)

    def reward_function(self, count_tokens: Callable[[str], int] = _count_words) -> RewardFunction:
        """The configured reward.

        Args:
            count_tokens: as the policy's tokenizer does; without a policy at hand, words stand in for tokens.

        Raises:
            UserError: see `RewardFunction`.
        """
        resources: dict[str, Callable[..., Any]] = {"count_tokens": count_tokens, "evidence_masks": evidence_masks}
        if asks_judge(self.config):
            resources["judge_answer"] = self.judge.verdict
        return RewardFunction(self.config.rl.reward, self.config.rl.reward_options, resources)

    def _env_factory(
        self, conditions: Conditions, toolbox: Toolbox, count_tokens: Callable[[str], int] = _count_words
    ) -> Callable[[], gymnasium.Env[Observation, str]]:
        env, reward = self.config.env, self.reward_function(count_tokens)
        questions = self.questions
        drawn = next(iter(questions.test.values())) if self.config.task == "evaluate" else questions.train

        def make_env() -> gymnasium.Env[Observation, str]:
            made = MedicalVQAEnv(drawn, toolbox, reward, view_size=env.view_size, max_turns=env.max_turns)
            return BlankImages(made) if conditions.images_blanked else made

        return make_env

    # --------------------------------------------------------------------------------------------------------- engines

    def engine(self, policy: VLMPolicy | None, toolbox: Toolbox) -> Engine:
        """Generates turns with a policy in this process, or with the one behind the configured endpoint."""
        if policy is not None and self.config.policy.engine == "vllm":
            return VLLMEngine(policy, self._vllm_for(policy))
        if policy is not None:
            return TransformersEngine(policy, cache_tokens=self.config.policy.cache_tokens)
        endpoint = self.endpoint
        assert endpoint is not None, "a policy is a model in this process or behind an endpoint"
        return EndpointEngine(endpoint.config, toolbox.describe("schemas"), endpoint=endpoint)

    def _vllm_for(self, policy: VLMPolicy) -> VLLMModel:
        """The one vLLM of this process, started for the first policy and again for one of another architecture."""
        if self._vllm is not None and not self._vllm.fits(policy):
            self._vllm.close()
            self._vllm = None
        self._vllm = self._vllm or VLLMModel(policy, self.config.policy.vllm)
        return self._vllm

    @cached_property
    def endpoint(self) -> ChatEndpoint | None:
        """The endpoint that is evaluated, which counts what it is asked; None where the policy is in this process."""
        config = self.config.policy.endpoint
        return ChatEndpoint(config) if config is not None else None

    @cached_property
    def judge(self) -> RewardJudge:
        """The language model that the reward term ``judge`` asks."""
        return RewardJudge(self.config)

    def expert_engine(self, policy: VLMPolicy | None, expert: ScriptedExpert) -> ScriptedPolicy:
        """An engine that writes the expert's turns, in the tokens of a policy if there is one."""

        def script(trajectory: Trajectory) -> str:
            return expert.plan(trajectory.sample, trajectory.seed)[len(trajectory.turns)]

        return ScriptedPolicy(script, tokenizer=None if policy is None else policy.tokenizer)

    def oracle_engine(self, policy: VLMPolicy) -> ScriptedPolicy:
        """An engine that looks where a faultless expert would, then lets the policy answer."""
        expert = ScriptedExpert()

        def script(trajectory: Trajectory) -> str | None:
            calls = expert.plan(trajectory.sample, trajectory.seed)[:-1]
            turn = len(trajectory.turns)
            return calls[turn] if turn < len(calls) else None

        return ScriptedPolicy(script, tokenizer=policy.tokenizer, otherwise=self.engine(policy, self.tools_in_use))
