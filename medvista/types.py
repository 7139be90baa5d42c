"""The vocabulary of medvista: what travels between its parts.

A `VQASample` is asked in an environment, which shows `Observation`s and reads `Action`s; the record of one episode is a
`Trajectory`, whose `TokenStream` is what training sees; siblings of one sample form a `TrajectoryGroup`.

Conventions, kept everywhere:

* pixel coordinates are ``(x, y)`` with the origin at the *corner* of the top-left pixel, so pixel ``(column, row)``
  covers ``[column, column + 1) x [row, row + 1)`` and its centre is at ``+ 0.5``;
* a `Box` is ``(x1, y1, x2, y2)`` in source pixels, except towards the model, where it is 0-1000 of the image shown
  (converted in one place, `medvista.imaging.geometry`);
* spacing is ``(row, column)`` millimetres, of a volume ``(slice, row, column)``;
* voxels are ``[Z, Y, X]``, to the feet, the back and the left of the patient, with the same corner convention; patient
  millimetres are DICOM's: ``(x, y, z)`` to the left, the back and the head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from medvista.image_types import Box as Box
from medvista.image_types import GreyCurve as GreyCurve
from medvista.image_types import MedicalImage as MedicalImage
from medvista.image_types import Plane as Plane
from medvista.image_types import Slice as Slice
from medvista.image_types import Volume as Volume
from medvista.image_types import Window as Window

if TYPE_CHECKING:  # imaging and tools do without torch, whose import costs a worker seconds and memory
    import torch

Split: TypeAlias = Literal["train", "validation", "test"]


# ------------------------------------------------------------------------------------------------------------ samples


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A box on one of the sample's images, in source pixels."""

    box: Box  # x1, y1, x2, y2, source pixels
    image: int = 0  # index among the sample's images
    label: str = ""
    slice: Slice | None = None  # of a volume, on which the box lies


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mask:
    """A region of any shape on one of the sample's images."""

    pixels: np.ndarray  # [H, W] bool, in pixels of the source image
    image: int = 0  # index among the sample's images
    label: str = ""
    slice: Slice | None = None  # of a volume, on which the mask lies


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VQASample:
    """One question about one or several medical images, with what is needed to score the answer."""

    id: str  # unique within the benchmark, stable between runs
    benchmark: str
    split: Split
    question: str
    answers: tuple[str, ...]  # accepted answers, the canonical one first
    images: tuple[MedicalImage | Path, ...]  # a path is read when an episode starts
    group_id: str  # what is independent of other groups: patient, case or image; intervals are clustered on it
    choices: tuple[str, ...] = ()  # options of a multiple-choice question, in order A, B, C, ...
    answer_type: Literal["closed", "open", "choice"] = "open"
    regions: tuple[Region, ...] = ()  # annotated evidence; never shown to tools or policy
    metadata: Mapping[str, Any] = field(default_factory=dict)  # what reports slice by: {"family": "attribute", ...}


# ---------------------------------------------------------------------------------------------------- actions and tools


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """The model asks for a tool."""

    name: str
    arguments: Mapping[str, Any]
    thought: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalAnswer:
    """The model answers, which ends the episode."""

    text: str
    thought: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParseError:
    """The model's text was neither a call nor an answer; `message` tells the model what was wrong."""

    message: str
    thought: str = ""


Action: TypeAlias = ToolCall | FinalAnswer | ParseError


class ToolErrorType(str, Enum):
    """Why a tool call produced no result."""

    UNKNOWN_TOOL = "unknown_tool"
    INVALID_ARGUMENTS = "invalid_arguments"
    TIMEOUT = "timeout"
    FAILED = "failed"  # the tool raised, or returned nonsense
    CRASHED = "crashed"  # its process ended
    OUT_OF_MEMORY = "out_of_memory"
    UNAVAILABLE = "unavailable"  # it was not run: it cannot be loaded, or too many calls of it hang


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolError:
    """A failed call, as a value: `message` is what the model reads."""

    type: ToolErrorType
    message: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ToolResult:
    """What a tool found: text, images, boxes, masks, numbers, or one typed error."""

    text: str = ""
    images: tuple[MedicalImage, ...] = ()
    regions: tuple[Region, ...] = ()  # where on the source it looked, or what it found there
    masks: tuple[Mask, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)  # numbers with their units in the key: {"distance_mm": 12.3}
    error: ToolError | None = None
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """True when the call succeeded."""
        return self.error is None


# ------------------------------------------------------------------------------------------------------------- episodes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observation:
    """What the policy sees after `reset` or `step`."""

    text: str
    images: tuple[MedicalImage, ...] = ()  # at the size shown to the policy

    def __eq__(self, other: object) -> bool:
        """Equality by value: the same text and the same pixels (Gymnasium compares observations)."""
        if not isinstance(other, Observation):
            return NotImplemented
        pairs = zip(self.images, other.images, strict=False)
        same_images = all(np.array_equal(mine.pixels, theirs.pixels) for mine, theirs in pairs)
        return self.text == other.text and len(self.images) == len(other.images) and same_images


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What an engine generated for one turn, including the end-of-turn token when it was sampled."""

    token_ids: tuple[int, ...]
    log_probs: tuple[float, ...]  # of each token under the sampling distribution
    text: str  # decoded, without the end-of-turn token
    finish_reason: Literal["stop", "length"] = "stop"
    version: int | None = None  # optimiser steps behind the weights that sampled it; None where the engine is not told


class StopReason(str, Enum):
    """Why an episode ended."""

    ANSWERED = "answered"
    MAX_TURNS = "max_turns"
    MAX_TOKENS = "max_tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reward:
    """The verifiable reward of an episode: the weighted sum and each unweighted term."""

    total: float
    terms: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Turn:
    """One step: what the model wrote, what it meant, what came back."""

    completion: Completion
    action: Action
    result: ToolResult | None = None  # None when no tool ran
    observation: Observation | None = None  # None on the last turn
    learned: bool = True  # False on a mistake that a demonstration corrects: its tokens carry no loss


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TokenSegment:
    """Rendered tokens that the policy did not sample (a prompt or an observation), with their images."""

    token_ids: tuple[int, ...]
    images: tuple[Mapping[str, torch.Tensor], ...] = ()  # the processor's tensors, one mapping an image


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TokenStream:
    """The tokens of an episode so far. It only ever grows at its end.

    With prompt ``P0``, sampled turns ``A0, A1`` and the observation ``E0`` between them::

        token_ids = P0 + A0 + E0 + A1
        loss_mask =  0    1    0    1
    """

    token_ids: tuple[int, ...] = ()
    loss_mask: tuple[bool, ...] = ()  # True where the policy sampled the token
    log_probs: tuple[float, ...] = ()  # under the sampling distribution; 0 where loss_mask is False
    images: tuple[Mapping[str, torch.Tensor], ...] = ()  # in the order of their placeholders

    def __len__(self) -> int:
        return len(self.token_ids)

    def append_segment(self, segment: TokenSegment) -> TokenStream:
        """The stream followed by tokens the policy did not sample, which carry no loss."""
        n = len(segment.token_ids)
        return TokenStream(
            token_ids=self.token_ids + segment.token_ids,
            loss_mask=self.loss_mask + (False,) * n,
            log_probs=self.log_probs + (0.0,) * n,
            images=self.images + segment.images,
        )

    def append_completion(self, completion: Completion) -> TokenStream:
        """The stream followed by tokens the policy sampled."""
        return TokenStream(
            token_ids=self.token_ids + completion.token_ids,
            loss_mask=self.loss_mask + (True,) * len(completion.token_ids),
            log_probs=self.log_probs + completion.log_probs,
            images=self.images,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trajectory:
    """One episode: its turns, how it ended, what it earned, and its token stream."""

    sample: VQASample
    observation: Observation  # the first one
    stream: TokenStream = field(default_factory=TokenStream)
    turns: tuple[Turn, ...] = ()
    stop_reason: StopReason | None = None  # None while the episode runs
    reward: Reward | None = None  # None while the episode runs
    seed: int = 0
    policy_version: int = 0  # optimiser steps behind the weights that sampled it

    @property
    def done(self) -> bool:
        """True when the episode has ended."""
        return self.stop_reason is not None

    @property
    def answer(self) -> str | None:
        """The final answer, or None when none was given."""
        last = self.turns[-1].action if self.turns else None
        return last.text if isinstance(last, FinalAnswer) else None

    @property
    def tool_turns(self) -> tuple[Turn, ...]:
        """The turns that called a tool, successful or not."""
        return tuple(turn for turn in self.turns if isinstance(turn.action, ToolCall))

    def extend(self, turn: Turn, segment: TokenSegment | None, **changes: Any) -> Trajectory:
        """The trajectory with one more turn and, when the episode goes on, the rendered observation behind it."""
        stream = self.stream.append_completion(turn.completion)
        if segment is not None:
            stream = stream.append_segment(segment)
        return replace(self, turns=(*self.turns, turn), stream=stream, **changes)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrajectoryGroup:
    """The sibling episodes of one sample, from which a group-relative advantage is computed."""

    trajectories: Sequence[Trajectory]

    @property
    def rewards(self) -> list[float]:
        """Total reward of each sibling."""
        return [t.reward.total if t.reward else 0.0 for t in self.trajectories]
