"""A trajectory as one JSON object, and back. Where its images are kept is the caller's business.

The object, one per line in the file that `medvista.data.trajectories` writes::

    {"sample": {"id", "benchmark", "split", "question", "answers", "choices", "answer_type", "group_id",
                "regions": [{"box": [x1, y1, x2, y2], "image", "label", "slice"}], "metadata": {}},
     "observation": {"text", "images": [{"path", "source", "to_source": [[a, b, c], [d, e, f], [0, 0, 1]],
                                         "modality", "spacing_mm", "slice"}]},
     "turns": [{"text", "finish_reason",
                "action": {"type": "tool_call", "name", "arguments", "thought"}
                          | {"type": "answer", "text", "thought"} | {"type": "parse_error", "message", "thought"},
                "result": {"text", "regions", "data", "error": {"type", "message"} | null, "seconds",
                           "masks": [{"rle": {"size": [H, W], "counts"}, "image", "label", "slice"}]} | null,
                "observation": {...} | null, "learned": false}],     # "learned" only where it is false
     "stop_reason", "reward": {"total", "terms": {}} | null, "answer", "seed", "policy_version",
     "stream": {"token_ids", "loss_mask", "log_probs"}}            # only when asked for

"answer" repeats the last action for people and scripts; it is not read back. Boxes are in source pixels, masks
in COCO's run lengths of them; where these are of one slice of a volume, "slice" is {"plane", "index"}, else absent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import groupby
from typing import Any, TypeAlias, cast, get_args

import numpy as np

from medvista.data.json_fields import FieldError, Fields
from medvista.imaging.masks import mask_from_rle, mask_to_rle
from medvista.types import (
    Action,
    Box,
    Completion,
    FinalAnswer,
    Mask,
    MedicalImage,
    Observation,
    ParseError,
    Plane,
    Region,
    Reward,
    Slice,
    StopReason,
    TokenStream,
    ToolCall,
    ToolError,
    ToolErrorType,
    ToolResult,
    Trajectory,
    Turn,
    VQASample,
)

SaveImage: TypeAlias = Callable[[MedicalImage], str]  # keeps the view's pixels, returns where
LoadPixels: TypeAlias = Callable[[str], np.ndarray]  # the pixels kept there, uint8 [H, W] or [H, W, 3]

# ------------------------------------------------------------------------------------------------------------- to JSON


def trajectory_to_json(trajectory: Trajectory, save_image: SaveImage, *, tokens: bool = False) -> dict[str, Any]:
    """The trajectory as nested values, its views handed to `save_image`; with `tokens`, its token stream as well."""
    reward = trajectory.reward
    values = {
        "sample": _sample_to_json(trajectory.sample),
        "observation": _observation_to_json(trajectory.observation, save_image),
        "turns": [_turn_to_json(turn, save_image) for turn in trajectory.turns],
        "stop_reason": trajectory.stop_reason.value if trajectory.stop_reason else None,
        "reward": {"total": reward.total, "terms": reward.terms} if reward else None,
        "answer": trajectory.answer,
        "seed": trajectory.seed,
        "policy_version": trajectory.policy_version,
    }
    if tokens:
        stream = trajectory.stream
        values["stream"] = {
            "token_ids": stream.token_ids,
            "loss_mask": [int(sampled) for sampled in stream.loss_mask],
            "log_probs": stream.log_probs,
        }
    return values


def _sample_to_json(sample: VQASample) -> dict[str, Any]:
    return {
        "id": sample.id,
        "benchmark": sample.benchmark,
        "split": sample.split,
        "question": sample.question,
        "answers": sample.answers,
        "choices": sample.choices,
        "answer_type": sample.answer_type,
        "group_id": sample.group_id,
        "regions": [_region_to_json(region) for region in sample.regions],
        "metadata": sample.metadata,
    }


def _region_to_json(region: Region) -> dict[str, Any]:
    return {"box": region.box, "image": region.image, "label": region.label, **_slice_to_json(region.slice)}


def _mask_to_json(mask: Mask) -> dict[str, Any]:
    rle = mask_to_rle(mask.pixels)
    return {"rle": rle, "image": mask.image, "label": mask.label, **_slice_to_json(mask.slice)}


def _slice_to_json(where: Slice | None) -> dict[str, Any]:
    return {} if where is None else {"slice": {"plane": where.plane, "index": where.index}}


def _observation_to_json(observation: Observation, save_image: SaveImage) -> dict[str, Any]:
    images = [
        {
            "path": save_image(view),
            "source": view.source,
            "to_source": view.to_source,
            "modality": view.modality,
            "spacing_mm": view.spacing_mm,
            **_slice_to_json(view.slice),
        }
        for view in observation.images
    ]
    return {"text": observation.text, "images": images}


def _turn_to_json(turn: Turn, save_image: SaveImage) -> dict[str, Any]:
    return {
        "text": turn.completion.text,
        "finish_reason": turn.completion.finish_reason,
        "action": _action_to_json(turn.action),
        "result": _result_to_json(turn.result) if turn.result else None,
        "observation": _observation_to_json(turn.observation, save_image) if turn.observation else None,
        **({} if turn.learned else {"learned": False}),
    }


def _action_to_json(action: Action) -> dict[str, Any]:
    match action:
        case ToolCall():
            own = {"type": "tool_call", "name": action.name, "arguments": action.arguments}
        case FinalAnswer():
            own = {"type": "answer", "text": action.text}
        case ParseError():
            own = {"type": "parse_error", "message": action.message}
    return {**own, "thought": action.thought}


def _result_to_json(result: ToolResult) -> dict[str, Any]:
    return {
        "text": result.text,
        "regions": [_region_to_json(region) for region in result.regions],
        "masks": [_mask_to_json(mask) for mask in result.masks],
        "data": result.data,
        "error": {"type": result.error.type.value, "message": result.error.message} if result.error else None,
        "seconds": round(result.seconds, 4),
    }


# ----------------------------------------------------------------------------------------------------------- from JSON


def trajectory_from_json(values: Any, load_pixels: LoadPixels) -> Trajectory:
    """The trajectory that `trajectory_to_json` wrote, with its views' pixels from `load_pixels`.

    What the file does not hold stays empty: the full-size source images (``sample.images`` are the views of the first
    observation), the images of a `ToolResult` (the observation behind it has the views), the processor's tensors in
    the token stream, and the whole stream unless it was stored.

    Raises:
        FieldError: a field is missing or malformed; the message names it.
    """
    fields = Fields(values)
    observation = _observation(fields.object("observation"), load_pixels)
    stream = _stream(fields.object("stream")) if "stream" in fields else TokenStream()
    turns = [_turn(turn, load_pixels) for turn in fields.objects("turns")]
    stop_reasons = tuple(reason.value for reason in StopReason)
    return Trajectory(
        sample=_sample(fields.object("sample"), observation.images),
        observation=observation,
        stream=stream,
        turns=tuple(_with_tokens(turns, stream)),
        stop_reason=StopReason(fields.one_of("stop_reason", stop_reasons)) if "stop_reason" in fields else None,
        reward=_reward(fields.object("reward")) if "reward" in fields else None,
        seed=fields.get("seed", int, 0),
        policy_version=fields.get("policy_version", int, 0),
    )


def _sample(fields: Fields, views: tuple[MedicalImage, ...]) -> VQASample:
    answers = fields.texts("answers")
    if not answers:
        raise FieldError(f'"{fields.path("answers")}" must hold at least one accepted answer')
    return VQASample(
        id=fields.read("id", str),
        benchmark=fields.read("benchmark", str),
        split=cast(Any, fields.one_of("split", ("train", "validation", "test"))),
        question=fields.read("question", str),
        answers=answers,
        images=views,
        group_id=fields.read("group_id", str),
        choices=fields.texts("choices"),
        answer_type=cast(Any, fields.one_of("answer_type", ("closed", "open", "choice"), default="open")),
        regions=tuple(_region(region) for region in fields.objects("regions")),
        metadata=fields.get("metadata", dict, {}),
    )


def _region(fields: Fields) -> Region:
    box = cast(Box, fields.numbers("box", 4))
    label, image = fields.get("label", str, ""), fields.get("image", int, 0)
    return Region(box=box, image=image, label=label, slice=_slice(fields))


def _slice(fields: Fields) -> Slice | None:
    if "slice" not in fields:
        return None
    where = fields.object("slice")
    return Slice(plane=cast(Plane, where.one_of("plane", get_args(Plane))), index=where.read("index", int))


def _mask(fields: Fields) -> Mask:
    rle = fields.object("rle")
    try:
        pixels = mask_from_rle({"size": rle.numbers("size", 2), "counts": rle.numbers("counts")})
    except (ValueError, OverflowError) as error:
        raise FieldError(f'"{fields.path("rle")}" is no run-length encoding: {error}') from None
    label, image = fields.get("label", str, ""), fields.get("image", int, 0)
    return Mask(pixels=pixels, image=image, label=label, slice=_slice(fields))


def _observation(fields: Fields, load_pixels: LoadPixels) -> Observation:
    views = tuple(_view(view, load_pixels) for view in fields.objects("images"))
    return Observation(text=fields.read("text", str), images=views)


def _view(fields: Fields, load_pixels: LoadPixels) -> MedicalImage:
    return MedicalImage(
        pixels=load_pixels(fields.read("path", str)),
        modality=fields.get("modality", str, "unknown"),
        spacing_mm=cast(Any, fields.numbers("spacing_mm", 2)) if "spacing_mm" in fields else None,
        source=fields.get("source", int, 0),
        to_source=_affine(fields) if "to_source" in fields else np.eye(3),
        slice=_slice(fields),
    )


def _affine(fields: Fields) -> np.ndarray:
    try:
        matrix = np.array(fields.value("to_source"), dtype=float)
    except (TypeError, ValueError):
        matrix = np.empty(0)
    if matrix.shape != (3, 3) or not abs(_determinant(matrix)) > 0:
        raise FieldError(f'"{fields.path("to_source")}" must be an invertible 3 x 3 matrix, as three rows')
    return matrix


def _determinant(matrix: np.ndarray) -> float:
    """Of a 3 x 3 matrix; NumPy takes ten times as long, and every view of every episode has one."""
    (a, b, c), (d, e, f), (g, h, i) = matrix.tolist()
    return float(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g))


def _turn(fields: Fields, load_pixels: LoadPixels) -> Turn:
    finish_reason = cast(Any, fields.one_of("finish_reason", ("stop", "length"), default="stop"))
    return Turn(
        completion=Completion(token_ids=(), log_probs=(), text=fields.read("text", str), finish_reason=finish_reason),
        action=_action(fields.object("action")),
        result=_result(fields.object("result")) if "result" in fields else None,
        observation=_observation(fields.object("observation"), load_pixels) if "observation" in fields else None,
        learned=fields.get("learned", bool, True),
    )


def _action(fields: Fields) -> Action:
    thought = fields.get("thought", str, "")
    match fields.one_of("type", ("tool_call", "answer", "parse_error")):
        case "tool_call":
            return ToolCall(name=fields.read("name", str), arguments=fields.read("arguments", dict), thought=thought)
        case "answer":
            return FinalAnswer(text=fields.read("text", str), thought=thought)
        case _:
            return ParseError(message=fields.read("message", str), thought=thought)


def _result(fields: Fields) -> ToolResult:
    error_types = tuple(kind.value for kind in ToolErrorType)
    error = None
    if "error" in fields:
        stored = fields.object("error")
        kind = ToolErrorType(stored.one_of("type", error_types))
        error = ToolError(type=kind, message=stored.read("message", str))
    return ToolResult(
        text=fields.get("text", str, ""),
        regions=tuple(_region(region) for region in fields.objects("regions")),
        masks=tuple(_mask(mask) for mask in fields.objects("masks")),
        data=fields.get("data", dict, {}),
        error=error,
        seconds=fields.get("seconds", float, 0.0),
    )


def _reward(fields: Fields) -> Reward:
    return Reward(total=fields.read("total", float), terms=fields.floats("terms"))


def _stream(fields: Fields) -> TokenStream:
    token_ids = fields.numbers("token_ids")
    loss_mask = fields.numbers("loss_mask", len(token_ids))
    log_probs = fields.numbers("log_probs", len(token_ids))
    return TokenStream(
        token_ids=tuple(int(token) for token in token_ids),
        loss_mask=tuple(bool(sampled) for sampled in loss_mask),
        log_probs=log_probs,
    )


def _with_tokens(turns: list[Turn], stream: TokenStream) -> list[Turn]:
    """The turns with their sampled tokens, which are the stream's runs under its loss mask."""
    positions = [list(run) for sampled, run in groupby(range(len(stream)), stream.loss_mask.__getitem__) if sampled]
    if len(positions) != len(turns):  # no stream was stored
        return turns
    return [_fill(turn, stream, run) for turn, run in zip(turns, positions, strict=True)]


def _fill(turn: Turn, stream: TokenStream, positions: list[int]) -> Turn:
    start, end = positions[0], positions[-1] + 1
    completion = Completion(
        token_ids=stream.token_ids[start:end],
        log_probs=stream.log_probs[start:end],
        text=turn.completion.text,
        finish_reason=turn.completion.finish_reason,
    )
    return replace(turn, completion=completion)
