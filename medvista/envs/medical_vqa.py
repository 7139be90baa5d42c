"""The environment: one question about medical images, tools to look closer, one answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from string import ascii_uppercase
from typing import Any

import gymnasium
import numpy as np

from medvista.envs.first_views import first_view
from medvista.envs.rendering import episode_picture
from medvista.envs.spaces import ObservationSpace, TextSpace
from medvista.errors import UserError
from medvista.imaging import fit, is_strip, open_image
from medvista.imaging.volume import describe_volume
from medvista.notices import notice
from medvista.outside_text import harmless
from medvista.parsing import parse_action
from medvista.rewards import RewardFunction
from medvista.tools import Toolbox
from medvista.types import (
    Action,
    Completion,
    FinalAnswer,
    MedicalImage,
    Observation,
    ParseError,
    Reward,
    StopReason,
    ToolError,
    ToolErrorType,
    ToolResult,
    Trajectory,
    Turn,
    VQASample,
)

DEFAULT_TOOLS = ("zoom", "window")
DEFAULT_REWARD = {"accuracy": 1.0}


class MedicalVQAEnv(gymnasium.Env[Observation, str]):
    """One episode is one question; an action is the text of one turn, in the grammar of `medvista.parsing`.

    An answer terminates the episode. Tool results come back as observations, and so do malformed turns and failed
    calls, for the policy to mend. The reward comes with the ending turn. Tools are handed images and arguments, nothing
    else of the sample, and no text of theirs reaches the policy with a tag of the grammar or a control token in it.

    Args:
        samples: questions that `reset` draws from.
        toolbox: the tools; zoom and window by default.
        reward_fn: scores the finished episode; accuracy by default.
        view_size: longer side in pixels of every image shown; tools work on native resolution.
        max_turns: turns after which the episode is truncated; a call on the last turn is not run.
        max_tokens: tokens the policy may write in all; needs `count_tokens`.
        count_tokens: number of tokens of a text.
        render_mode: ``"rgb_array"`` or None.

    Raises:
        UserError: there is no sample, or a budget makes no sense.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 1}  # noqa: RUF012 - as Gymnasium declares it

    def __init__(
        self,
        samples: Sequence[VQASample],
        toolbox: Toolbox | None = None,
        reward_fn: Callable[[Trajectory], Reward] | None = None,
        *,
        view_size: int = 448,
        max_turns: int = 4,
        max_tokens: int | None = None,
        count_tokens: Callable[[str], int] | None = None,
        render_mode: str | None = None,
    ) -> None:
        if not samples:
            raise UserError("The environment has no samples; give at least one question.")
        if max_turns < 1 or view_size < 1:
            raise UserError(f"max_turns and view_size have to be at least 1, got {max_turns} and {view_size}.")
        if max_tokens is not None and count_tokens is None:
            raise UserError("max_tokens needs count_tokens, a function from text to its number of tokens.")
        self.samples = samples
        self.toolbox = toolbox if toolbox is not None else Toolbox.from_names(DEFAULT_TOOLS)
        self.reward_fn = reward_fn if reward_fn is not None else RewardFunction(DEFAULT_REWARD)
        self.view_size = view_size
        self.max_turns = max_turns
        self.max_tokens = max_tokens
        self.count_tokens = count_tokens
        self.render_mode = render_mode
        self.observation_space = ObservationSpace(view_size)
        self.action_space = TextSpace()
        self._trajectory: Trajectory | None = None
        self._images: list[MedicalImage] = []  # native resolution: the sample's, then those returned by tools
        self._episode_toolbox = self.toolbox
        self._tokens = 0

    @property
    def trajectory(self) -> Trajectory:
        """The episode so far.

        Raises:
            RuntimeError: `reset` was not called.
        """
        if self._trajectory is None:
            raise RuntimeError("Call reset() first: there is no episode yet.")
        return self._trajectory

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: makes the episode repeatable: the draw of the sample and whatever the toolbox draws.
            options: ``{"sample": VQASample}`` asks that question instead of a drawn one.

        Raises:
            UserError: an image of the sample cannot be read.
        """
        super().reset(seed=seed)
        sample = (options or {}).get("sample") or self.samples[int(self.np_random.integers(len(self.samples)))]
        episode_seed = int(self.np_random.integers(2**31)) if seed is None else seed
        self._episode_toolbox = self.toolbox.for_episode(episode_seed)
        given = [open_image(image) for image in sample.images]
        self._images = [_source(image, index) for index, image in enumerate(given)]
        self._tokens = 0
        text = "\n".join([question_text(sample), *_volumes(self._images)])
        views = [first_view(*pair, self.view_size) for pair in zip(given, self._images, strict=True)]
        observation = self._observe(sample, text, self._images, views)
        self._trajectory = Trajectory(sample=sample, observation=observation, seed=episode_seed)
        return observation, {"sample_id": sample.id}

    def step(self, action: str) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Take one turn.

        Args:
            action: the text the policy wrote.

        Returns:
            Observation, reward (0 before the end), terminated (answered), truncated (out of turns or tokens), and info
            with ``action``, ``tool_result`` and ``stop_reason``, and ``reward``, the `Reward`, at the end.

        Raises:
            RuntimeError: the episode has not begun or has ended.
        """
        if self.trajectory.done:
            raise RuntimeError("The episode has ended; call reset() before step().")
        parsed = parse_action(action)
        stop_reason = self._stop_reason(action, parsed)
        result = None
        if stop_reason is None:
            observation, result = self._respond(parsed)
        else:
            observation = Observation(text=_FAREWELLS[stop_reason])
        self._record(action, parsed, result, None if stop_reason else observation, stop_reason)
        info: dict[str, Any] = {"action": parsed, "tool_result": result, "stop_reason": stop_reason}
        reward = self.trajectory.reward
        if reward is not None:
            info["reward"] = reward
        terminated = stop_reason is StopReason.ANSWERED
        truncated = stop_reason is not None and not terminated
        return observation, reward.total if reward else 0.0, terminated, truncated, info

    def render(self) -> np.ndarray | None:
        """The episode so far as a picture ``[H, W, 3]`` uint8, or None without a render mode."""
        return np.asarray(episode_picture(self.trajectory)) if self.render_mode == "rgb_array" else None

    def _stop_reason(self, text: str, action: Action) -> StopReason | None:
        self._tokens += self.count_tokens(text) if self.count_tokens else 0
        if isinstance(action, FinalAnswer):
            return StopReason.ANSWERED
        # Before the tool runs: nobody would see its result.
        if len(self.trajectory.turns) + 1 >= self.max_turns:
            return StopReason.MAX_TURNS
        if self.max_tokens is not None and self._tokens >= self.max_tokens:
            return StopReason.MAX_TOKENS
        return None

    def _respond(self, action: Action) -> tuple[Observation, ToolResult | None]:
        """What the policy sees next, and the result of its call if it made one."""
        assert not isinstance(action, FinalAnswer)
        sample = self.trajectory.sample
        if isinstance(action, ParseError):
            return self._observe(sample, f"Error: {action.message}"), None
        result = self._episode_toolbox.run(action, tuple(self._images))
        if result.error is not None:
            return self._observe(sample, f"Error: {result.error.message}{_advice(result.error)}"), result
        first = len(self._images)
        self._images.extend(result.images)
        text = result.text
        if result.images:
            text = f"{_image_names(first, len(result.images))}: {result.text}"
        return self._observe(sample, text, result.images), result

    def _record(
        self,
        text: str,
        action: Action,
        result: ToolResult | None,
        observation: Observation | None,
        stop_reason: StopReason | None,
    ) -> None:
        # The policy's tokens are the rollout's business; the environment knows the text only.
        completion = Completion(token_ids=(), log_probs=(), text=text)
        turn = Turn(completion=completion, action=action, result=result, observation=observation)
        self._trajectory = self.trajectory.extend(turn, None, stop_reason=stop_reason)
        if stop_reason is not None:
            self._trajectory = replace(self._trajectory, reward=self.reward_fn(self._trajectory))

    def _observe(
        self,
        sample: VQASample,
        text: str,
        images: Sequence[MedicalImage] = (),
        views: Sequence[MedicalImage] | None = None,
    ) -> Observation:
        """What the policy sees of a text and of images at native resolution, whose views may be there already."""
        if any(is_strip(image, self.view_size) for image in images):
            notice("pictures of one side over 200 times the other were drawn out to be shown", f"question {sample.id}")
        if views is None:
            views = [fit(image, self.view_size) for image in images]
        return Observation(text=harmless(text), images=tuple(views))


_FAREWELLS = {
    StopReason.ANSWERED: "",
    StopReason.MAX_TURNS: "The episode ended without an answer: out of turns.",
    StopReason.MAX_TOKENS: "The episode ended without an answer: out of tokens.",
}


# What the model can do where the message itself does not say what to mend.
_ADVICE = {
    ToolErrorType.TIMEOUT: "Ask for less, use another tool, or answer without it.",
    ToolErrorType.OUT_OF_MEMORY: "Ask for less, use another tool, or answer without it.",
    ToolErrorType.FAILED: "Try other arguments or another tool, or answer without it.",
    ToolErrorType.CRASHED: "Try other arguments or another tool, or answer without it.",
    ToolErrorType.UNAVAILABLE: "Use another tool, or answer without it.",
}


def _advice(error: ToolError) -> str:
    """The sentence to follow an error's message; empty where that is one to act on."""
    advice = _ADVICE.get(error.type)
    return f"{'' if error.message.endswith('.') else '.'} {advice}" if advice else ""


def _source(image: MedicalImage, index: int) -> MedicalImage:
    """An image of the sample as the episode's own."""
    image.pixels.flags.writeable = False  # other episodes share them: a tool may not draw on them
    if image.volume is not None:
        image.volume.voxels.flags.writeable = False
    return replace(image, source=index, to_source=np.eye(3))


def _volumes(images: Sequence[MedicalImage]) -> list[str]:
    """What there is to see beyond the images shown: a line for each volume or film."""
    return [
        f"Image {index} is {describe_volume(image.volume, image.slice)}."
        for index, image in enumerate(images)
        if image.volume is not None and image.slice is not None
    ]


def question_text(sample: VQASample) -> str:
    """The question as the policy reads it, with lettered choices where there are any."""
    if len(sample.choices) > len(ascii_uppercase):
        raise UserError(f"Sample {sample.id} has {len(sample.choices)} choices; at most 26 can be lettered.")
    choices = [f"{letter}. {choice}" for letter, choice in zip(ascii_uppercase, sample.choices, strict=False)]
    return "\n".join([sample.question, *choices])


def _image_names(first: int, count: int) -> str:
    return f"Image {first}" if count == 1 else f"Images {first} to {first + count - 1}"
