"""Whatever a model, tool, question or endpoint says can be written, read back, reported and shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from medvista.data.benchmarks import read_benchmark
from medvista.data.json_fields import plain
from medvista.data.trajectories import read_trajectories, write_trajectories
from medvista.endpoint_answers import read_reply
from medvista.evaluation.viewer import find_sources, write_viewer
from medvista.tools import Tool, Toolbox, tool
from medvista.types import (
    Completion,
    FinalAnswer,
    MedicalImage,
    Observation,
    ToolCall,
    ToolErrorType,
    ToolResult,
    Trajectory,
    Turn,
    VQASample,
)

pytestmark = pytest.mark.faults
HALF = "\ud83d"
VIEW = MedicalImage(pixels=np.zeros((4, 4), np.uint8))


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this")


class Opaque:
    def __str__(self) -> str:
        raise RuntimeError("not even this")


def raising(error: BaseException) -> Tool:
    @tool
    def odd(images) -> ToolResult:  # type: ignore[no-untyped-def]
        """Raise."""
        raise error

    return odd


def nested(depth: int) -> Any:
    value: Any = "deep"
    for _ in range(depth):
        value = [value]
    return value


def repr_of_kind(value: Any) -> str:
    return type(value).__name__  # the values themselves cannot be printed


@pytest.mark.parametrize(
    "value",
    [
        HALF,
        f"a {HALF} b",
        {HALF: HALF},
        [HALF],
        10**5000,
        -(10**400),
        nested(5000),
        float("nan"),
        Opaque(),
        {1: Opaque()},
    ],
    ids=repr_of_kind,
)
def test_any_value_becomes_json_that_is_read_back(value: Any) -> None:
    written = json.dumps(plain({"value": value}), ensure_ascii=False, allow_nan=False).encode()
    json.loads(written)


def test_what_can_be_written_is_left_as_it_is() -> None:
    value = {"a": [1, -(2**63), 1.5, True, None, "emoji 😀 中文"]}
    assert plain(value) == value


def test_an_episode_of_odd_texts_is_kept_and_shown(tmp_path: Path) -> None:
    sample = VQASample(
        id="q",
        benchmark="b",
        split="test",
        question=HALF,
        answers=(HALF,),
        images=(VIEW,),
        group_id=HALF,
        choices=(HALF, "x"),
    )
    result = ToolResult(text=HALF, data={HALF: 10**5000, "deep": nested(3000), "nan": float("inf")})
    seen = Observation(text=HALF, images=(VIEW,))
    turns = (
        Turn(
            completion=Completion(token_ids=(), log_probs=(), text=HALF),
            action=ToolCall(name=HALF, arguments={HALF: HALF}, thought=HALF),
            result=result,
            observation=seen,
        ),
        Turn(completion=Completion(token_ids=(), log_probs=(), text=HALF), action=FinalAnswer(text=HALF)),
    )
    path = tmp_path / "e.jsonl"
    write_trajectories(path, [Trajectory(sample=sample, observation=seen, turns=turns)])
    (back,) = read_trajectories(path)
    assert back.answer == back.sample.question == "\N{REPLACEMENT CHARACTER}"
    assert back.turns[0].result is not None
    assert back.turns[0].result.data["\N{REPLACEMENT CHARACTER}"] is None
    assert write_viewer(tmp_path / "viewer", find_sources(path, "odd")).is_file()


def test_half_a_character_in_a_foreign_line_is_read_as_the_sign_for_it(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    sample = VQASample(id="q", benchmark="b", split="test", question="?", answers=("a",), images=(), group_id="g")
    write_trajectories(path, [Trajectory(sample=sample, observation=Observation(text=""))])
    line = path.read_text().replace('"?"', r'"\ud83d"')
    path.write_text(line[: line.rindex(',"crc32"')] + "}\n")  # of another program, which writes no checksum
    (back,) = read_trajectories(path)
    assert back.sample.question == "\N{REPLACEMENT CHARACTER}"


def test_half_a_character_in_a_question_is_read_as_the_sign_for_it(tmp_path: Path) -> None:
    import yaml
    from PIL import Image

    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    (tmp_path / "t.jsonl").write_text(r'{"q": "\ud83d?", "a": "\uD83D\uDE00", "f": "a.png"}' + "\n")
    columns = {"question": "q", "answer": "a", "image": "f"}
    (tmp_path / "t.yaml").write_text(yaml.safe_dump({"questions": {"test": "t.jsonl"}, "columns": columns}))
    (sample,) = read_benchmark(str(tmp_path / "t.yaml"), None, "test")
    assert (sample.question, sample.answers) == ("\N{REPLACEMENT CHARACTER}?", ("😀",))


@pytest.mark.parametrize(
    ("content", "text", "tokens"),
    [
        (r'{"choices": [{"message": {"content": "\ud83d"}}]}', "\N{REPLACEMENT CHARACTER}", 0),
        ('{"choices": [{"message": {"content": "a"}}], "usage": {"prompt_tokens": 1e999}}', "a", 0),
        ('{"choices": [{"message": {"content": "a"}}], "usage": {"prompt_tokens": NaN}}', "a", 0),
        ('{"choices": [{"message": {"content": "a"}}], "usage": {"prompt_tokens": -7}}', "a", 0),
        ('{"choices": [{"message": {"content": "a"}}], "usage": {"prompt_tokens": 12.0}}', "a", 12),
    ],
)
def test_odd_replies_of_an_endpoint_are_read(content: str, text: str, tokens: int) -> None:
    reply = read_reply(httpx2.Response(200, text=content))
    assert reply is not None
    assert (reply.text, reply.prompt_tokens) == (text, tokens)


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        '{"choices": ' + "[" * 100_000,
        '{"choices": [{"message": ' + '{"content": [' * 900 + "]}" * 900 + "}]}",
    ],
)
def test_deep_replies_are_no_answer(content: str) -> None:
    assert read_reply(httpx2.Response(200, text=content)) is None


@pytest.mark.parametrize(
    "error", [UnspeakableError(), type("Panic", (BaseException,), {})("rust"), SystemExit(3), GeneratorExit()]
)
@pytest.mark.parametrize("timeout_s", [None, 5.0])
def test_whatever_a_tool_raises_is_a_result(error: BaseException, timeout_s: float | None) -> None:
    toolbox = Toolbox([raising(error)], timeout_s=timeout_s)
    result = toolbox.run(ToolCall(name="odd", arguments={}), [VIEW])
    assert result.error is not None
    assert result.error.type is ToolErrorType.FAILED
    toolbox.close()


def test_an_interrupt_that_a_tool_raises_in_its_thread_is_not_a_persons() -> None:
    toolbox = Toolbox([raising(KeyboardInterrupt())], timeout_s=5.0)
    result = toolbox.run(ToolCall(name="odd", arguments={}), [VIEW])
    assert result.error is not None
