"""Trajectory files: what is written comes back, a kill loses only the torn line, a bad line is explained."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medvista.data.trajectories import read_trajectories, read_trajectories_with_files, write_trajectories
from medvista.errors import UserError
from medvista.types import (
    Completion,
    FinalAnswer,
    Mask,
    MedicalImage,
    Observation,
    ParseError,
    Region,
    Reward,
    StopReason,
    TokenSegment,
    TokenStream,
    ToolCall,
    ToolError,
    ToolErrorType,
    ToolResult,
    Trajectory,
    Turn,
    VQASample,
)

OVERVIEW = MedicalImage(
    pixels=np.arange(64, dtype=np.uint8).reshape(8, 8),
    modality="CT",
    spacing_mm=(5.6, 5.6),
    source=1,
    to_source=np.array([[7.0, 0.0, 0.0], [0.0, 7.0, 0.0], [0.0, 0.0, 1.0]]),
)
CROP = MedicalImage(
    pixels=np.arange(3 * 5 * 3, dtype=np.uint8).reshape(3, 5, 3),
    to_source=np.array([[0.5, 0.0, 10.25], [0.0, 0.5, 20.0], [0.0, 0.0, 1.0]]),
)

FOUND = np.eye(5, 7, dtype=bool)


def completion(ids: tuple[int, ...], text: str) -> Completion:
    return Completion(token_ids=ids, log_probs=tuple(-0.5 for _ in ids), text=text, finish_reason="stop")


def episode(answer: str = "halo") -> Trajectory:
    """A failed call, a look, an answer; prompt tokens 1 2, observation tokens 7 and 8."""
    sample = VQASample(
        id="q-1",
        benchmark="phantom",
        split="test",
        question="Durchmesser > 5 µm?\n「図」",
        answers=("halo", "rim"),
        choices=("halo", "solid"),
        answer_type="choice",
        images=(OVERVIEW,),
        group_id="case-9",
        regions=(Region(box=(10.5, 20.0, 24.0, 34.0), image=1, label="nodule"),),
        metadata={"family": "attribute", "slice": np.int64(3)},
    )
    error = ToolError(type=ToolErrorType.INVALID_ARGUMENTS, message="box: x1 must be below x2")
    failed = Turn(
        completion=completion((3, 4), "<tool_call>...</tool_call>"),
        action=ToolCall(name="zoom", arguments={"box": [4, 3, 2, 1]}, thought="closer"),
        result=ToolResult(error=error, seconds=0.25),
        observation=Observation(text="Error: box: x1 must be below x2"),
    )
    look = Turn(
        completion=completion((5,), "<tool_call>...</tool_call>"),
        action=ToolCall(name="zoom", arguments={"box": [1, 2, 3, 4]}),
        result=ToolResult(
            text="zoomed",
            images=(CROP,),
            regions=(Region(box=(1.0, 2.0, 3.0, 4.0)),),
            masks=(Mask(pixels=FOUND, image=1, label="nodule"),),
            data={"width_mm": np.float32(1.5)},
        ),
        observation=Observation(text="zoomed", images=(CROP,)),
    )
    last = Turn(completion=completion((6, 9), "<answer>halo</answer>"), action=FinalAnswer(text=answer, thought="ring"))
    start = Trajectory(
        sample=sample,
        observation=Observation(text="Look.", images=(OVERVIEW,)),
        stream=TokenStream().append_segment(TokenSegment(token_ids=(1, 2))),
        seed=11,
        policy_version=4,
    )
    going = start.extend(failed, TokenSegment(token_ids=(7,))).extend(look, TokenSegment(token_ids=(8,)))
    reward = Reward(total=1.1, terms={"answer": 1.0, "tool": 0.1})
    return going.extend(last, None, stop_reason=StopReason.ANSWERED, reward=reward)


def test_an_episode_comes_back_as_it_was_shown(tmp_path: Path) -> None:
    write_trajectories(tmp_path / "e.jsonl", [episode()])
    (back,) = read_trajectories(tmp_path / "e.jsonl")
    before = episode()
    assert (back.sample.question, back.sample.answers, back.sample.choices) == (
        before.sample.question,
        before.sample.answers,
        before.sample.choices,
    )
    assert back.sample.regions == before.sample.regions
    assert back.sample.metadata == {"family": "attribute", "slice": 3}
    assert [turn.action for turn in back.turns] == [turn.action for turn in before.turns]
    assert (back.answer, back.stop_reason, back.reward) == ("halo", StopReason.ANSWERED, before.reward)
    assert (back.seed, back.policy_version) == (11, 4)
    failed, look, _ = back.turns
    assert failed.result is not None
    assert failed.result.error == before.turns[0].result.error  # type: ignore[union-attr]
    assert failed.result.seconds == 0.25
    assert look.result is not None
    assert look.result.data == {"width_mm": 1.5}
    (mask,) = look.result.masks
    assert (mask.image, mask.label) == (1, "nodule")
    np.testing.assert_array_equal(mask.pixels, FOUND)


def test_views_come_back_pixel_for_pixel_and_know_their_source(tmp_path: Path) -> None:
    write_trajectories(tmp_path / "e.jsonl", [episode()])
    (back,) = read_trajectories(tmp_path / "e.jsonl")
    crop = back.turns[1].observation.images[0]  # type: ignore[union-attr]
    for view, before in ((back.observation.images[0], OVERVIEW), (crop, CROP)):
        np.testing.assert_array_equal(view.pixels, before.pixels)
        np.testing.assert_array_equal(view.to_source, before.to_source)
        assert (view.source, view.modality, view.spacing_mm) == (before.source, before.modality, before.spacing_mm)
    assert back.sample.images == back.observation.images  # full-size sources are not stored


def test_tokens_are_stored_when_asked_for_and_returned_to_their_turns(tmp_path: Path) -> None:
    write_trajectories(tmp_path / "e.jsonl", [episode()], tokens=True)
    (back,) = read_trajectories(tmp_path / "e.jsonl")
    assert back.stream.token_ids == (1, 2, 3, 4, 7, 5, 8, 6, 9)
    assert [int(m) for m in back.stream.loss_mask] == [0, 0, 1, 1, 0, 1, 0, 1, 1]
    assert back.stream.log_probs == episode().stream.log_probs
    assert [turn.completion.token_ids for turn in back.turns] == [(3, 4), (5,), (6, 9)]


@pytest.mark.parametrize("answer", ["halo", 'a ","stream":{"token_ids":[1],"loss_mask":[1],"log_probs":[0]}}', "]}}"])
def test_to_be_shown_an_episode_is_read_without_its_tokens_and_with_all_of_its_texts(
    tmp_path: Path, answer: str
) -> None:
    played = episode(answer)
    arguments = {"stream": {"token_ids": [1], "loss_mask": [1], "log_probs": [0.5]}}
    call = replace(played.turns[0], action=ToolCall(name="zoom", arguments=arguments))
    write_trajectories(tmp_path / "e.jsonl", [replace(played, turns=(call, *played.turns[1:]))], tokens=True)
    ((back, files),) = read_trajectories_with_files(tmp_path / "e.jsonl")
    assert len(back.stream) == 0
    assert back.answer == answer
    assert back.turns[0].action == call.action
    assert [view.size for view in files] == [(8, 8), (5, 3)]


def test_a_stream_in_another_place_of_the_line_is_left_out_too(tmp_path: Path) -> None:
    write_trajectories(tmp_path / "e.jsonl", [episode()], tokens=True)
    values = json.loads((tmp_path / "e.jsonl").read_text(encoding="utf-8"))
    turned = {name: values[name] for name in reversed(values)}
    (tmp_path / "e.jsonl").write_text(json.dumps(turned) + "\n", encoding="utf-8")
    ((back, _),) = read_trajectories_with_files(tmp_path / "e.jsonl")
    assert (len(back.stream), back.answer) == (0, "halo")


def test_without_tokens_the_stream_is_empty(tmp_path: Path) -> None:
    write_trajectories(tmp_path / "e.jsonl", [episode()])
    (back,) = read_trajectories(tmp_path / "e.jsonl")
    assert len(back.stream) == 0
    assert back.turns[0].completion.text == "<tool_call>...</tool_call>"


def test_equal_views_are_kept_once_and_named_relative_to_the_file(tmp_path: Path) -> None:
    written = write_trajectories(tmp_path / "trajectories" / "e.jsonl", [episode()] * 3, images_dir=tmp_path / "images")
    assert written == 3
    assert len(list((tmp_path / "images").glob("*.png"))) == 2  # overview and crop
    first = json.loads((tmp_path / "trajectories" / "e.jsonl").read_text(encoding="utf-8").splitlines()[0])
    path = first["observation"]["images"][0]["path"]
    assert path.startswith("../images/")
    assert (tmp_path / "trajectories" / path).is_file()
    assert len(list(read_trajectories(tmp_path / "trajectories" / "e.jsonl"))) == 3


def test_the_same_bytes_at_another_shape_are_another_image(tmp_path: Path) -> None:
    wide = MedicalImage(pixels=np.zeros((2, 8), np.uint8))
    tall = MedicalImage(pixels=np.zeros((8, 2), np.uint8))
    shown = Observation(text="", images=(wide, tall))
    trajectory = Trajectory(sample=episode().sample, observation=shown)
    write_trajectories(tmp_path / "e.jsonl", [trajectory])
    (back,) = read_trajectories(tmp_path / "e.jsonl")
    assert [view.size for view in back.observation.images] == [(8, 2), (2, 8)]


def test_an_unfinished_episode_can_be_kept(tmp_path: Path) -> None:
    malformed = Turn(completion=completion((1,), "hm"), action=ParseError(message="neither call nor answer"))
    trajectory = Trajectory(sample=episode().sample, observation=Observation(text=""), turns=(malformed,))
    write_trajectories(tmp_path / "e.jsonl", [trajectory])
    (back,) = read_trajectories(tmp_path / "e.jsonl")
    assert (back.done, back.reward, back.answer) == (False, None, None)
    assert back.turns[0].action == ParseError(message="neither call nor answer")


def test_numbers_that_are_not_finite_leave_valid_json(tmp_path: Path) -> None:
    result = ToolResult(data={"mean_hu": float("nan")})
    turn = Turn(completion=completion((1,), "x"), action=ToolCall(name="measure", arguments={}), result=result)
    trajectory = Trajectory(sample=episode().sample, observation=Observation(text=""), turns=(turn,))
    write_trajectories(tmp_path / "e.jsonl", [trajectory])
    assert "NaN" not in (tmp_path / "e.jsonl").read_text(encoding="utf-8")


def test_appending_drops_a_torn_last_line_and_keeps_the_whole_ones(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    write_trajectories(path, [episode("first"), episode("torn")])
    path.write_bytes(path.read_bytes()[:-40])  # the run was killed while it wrote the second line
    write_trajectories(path, [episode("second")], append=True)
    assert [t.answer for t in read_trajectories(path)] == ["first", "second"]


def test_appending_keeps_a_whole_last_line_that_only_lacks_its_newline(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    write_trajectories(path, [episode("first")])
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    write_trajectories(path, [episode("second")], append=True)
    assert [t.answer for t in read_trajectories(path)] == ["first", "second"]


def test_appended_lines_are_on_disk_before_the_next_episode_is_made(tmp_path: Path) -> None:
    path, seen = tmp_path / "e.jsonl", []

    def episodes() -> Iterator[Trajectory]:
        for name in ("first", "second"):
            seen.append(path.read_bytes().count(b"\n") if path.exists() else 0)
            yield episode(name)

    write_trajectories(path, episodes(), append=True)
    assert seen == [0, 1]


def test_a_failed_replacement_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    write_trajectories(path, [episode("old")])

    def interrupted() -> Iterator[Trajectory]:
        yield episode("new")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_trajectories(path, interrupted())
    assert [t.answer for t in read_trajectories(path)] == ["old"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["e.jsonl", "images"]


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda v: v["sample"].pop("question"), r'"sample\.question" is missing'),
        (lambda v: v["sample"].update(id=7), r'"sample\.id" must be a text, not 7'),
        (lambda v: v["sample"].update(split="dev"), r'"sample\.split" must be one of train, validation, test'),
        (lambda v: v["sample"].update(answers=[]), r'"sample\.answers" must hold at least one'),
        (lambda v: v["sample"]["regions"][0].update(box=[1, 2, 3]), r'"sample\.regions\[0\]\.box" must be a list of 4'),
        (lambda v: v["turns"][1]["action"].update(type="wait"), r'"turns\[1\]\.action\.type" must be one of tool_call'),
        (lambda v: v["turns"][0]["result"]["error"].update(type="x"), r'"turns\[0\]\.result\.error\.type" must be one'),
        (lambda v: v["observation"]["images"][0].update(to_source=[1]), r"invertible 3 x 3 matrix"),
        (lambda v: v["observation"]["images"][0].update(path="images/no.png"), r"no\.png does not exist"),
        (lambda v: v.update(reward=3), r'"reward" must be an object, not 3'),
    ],
)
def test_a_malformed_line_is_named_with_what_is_wrong(tmp_path: Path, damage: object, complaint: str) -> None:
    path = tmp_path / "demonstrations.jsonl"
    write_trajectories(path, [episode(), episode()])
    first, second = path.read_text(encoding="utf-8").splitlines()
    values = json.loads(second)
    damage(values)  # type: ignore[operator]
    path.write_text(f"{first}\n{json.dumps(values)}\n", encoding="utf-8")
    with pytest.raises(UserError, match=rf"demonstrations\.jsonl, line 2: .*{complaint}.*mend or delete this line"):
        list(read_trajectories(path))


def test_a_line_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "e.jsonl").write_text('\n{"sample": \n', encoding="utf-8")
    with pytest.raises(UserError, match=r"line 2: it is not valid JSON"):
        list(read_trajectories(tmp_path / "e.jsonl"))


def test_a_corrupt_image_is_named(tmp_path: Path) -> None:
    write_trajectories(tmp_path / "e.jsonl", [episode()])
    for image in (tmp_path / "images").iterdir():
        image.write_bytes(image.read_bytes()[:30])
    with pytest.raises(UserError, match=r"line 1: image .*\.png is not a readable image"):
        list(read_trajectories(tmp_path / "e.jsonl"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no\.jsonl does not exist"):
        list(read_trajectories(tmp_path / "no.jsonl"))


def test_views_are_ordinary_png_files(tmp_path: Path) -> None:
    write_trajectories(tmp_path / "e.jsonl", [episode()])
    assert {Image.open(p).size for p in (tmp_path / "images").glob("*.png")} == {(8, 8), (5, 3)}
