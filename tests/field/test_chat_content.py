"""Replies as servers of the field send them: in parts, reasoning beside or instead of an answer, native calls."""

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("httpx2")

from medvista.endpoint import ChatEndpoint
from medvista.endpoint_text import has_calls, has_reasoning, message_text
from medvista.envs import MedicalVQAEnv
from medvista.errors import UserError
from medvista.evaluation.numbers.silence import silent_arms
from medvista.metrics.judge import Judge, ask_endpoint
from medvista.notices import NOTICES
from medvista.policies import EndpointEngine, SamplingParams
from medvista.rollout import RolloutCollector
from medvista.settings import EndpointConfig
from medvista.tools import Toolbox
from medvista.types import MedicalImage, ParseError, StopReason, ToolCall, VQASample
from tests.chat_server import Answer, chat_server

STUB = Path(__file__).with_name("chat_server_odd_content.py")
ANSWER = "<think>It is bright.</think><answer>yes</answer>"
ZOOM = '<tool_call>{"name": "zoom", "arguments": {"bbox_2d": [1, 2, 500, 600]}}</tool_call>'


@pytest.fixture(autouse=True)
def no_notices():
    NOTICES.clear()
    yield
    NOTICES.clear()


@contextmanager
def stub(mode):
    """The URL of a server that answers in one of the forms."""
    with subprocess.Popen([sys.executable, str(STUB), mode], stdout=subprocess.PIPE, text=True) as server:
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        finally:
            server.kill()


def play(url, questions=1, **options):
    samples = [
        VQASample(
            id=str(number),
            benchmark="toy",
            split="test",
            question="Is it bright?",
            answers=("yes",),
            images=(MedicalImage(pixels=np.full((64, 64), 200, np.uint8)),),
            group_id=str(number),
        )
        for number in range(questions)
    ]
    toolbox = Toolbox.from_names(["zoom"])
    engine = EndpointEngine(EndpointConfig(url=url, model="looker", **options), toolbox.describe("schemas"))
    collector = RolloutCollector(
        lambda: MedicalVQAEnv(samples, toolbox, view_size=64, max_turns=2), engine, renderer=None
    )
    return collector.collect(
        samples, SamplingParams(max_new_tokens=50, temperature=0.0), seeds=range(questions)
    ), engine


@pytest.mark.parametrize("mode", ["parts", "split"])
def test_parts_are_joined_and_reasoning_beside_the_answer_is_left_where_it_is(mode):
    with stub(mode) as url:
        (played,), _ = play(url)
    assert (played.stop_reason, played.answer, played.reward.total) == (StopReason.ANSWERED, "yes", 1.0)
    assert not NOTICES.collected()


def test_a_native_call_is_a_call():
    with stub("native") as url:
        (played,), _ = play(url)
    first = played.turns[0]
    assert first.completion.text == ZOOM
    assert first.action == ToolCall(name="zoom", arguments={"bbox_2d": [1, 2, 500, 600]})
    assert first.result.ok
    (notice,) = NOTICES.collected()
    assert (
        notice.line() == "tool calls in the API's own form were written in the turn grammar: 2 (0, turn 1, 0, turn 2)"
    )


def test_replies_that_are_all_reasoning_are_counted_and_the_arm_is_said_to_be_silent():
    with stub("reasoning") as url:
        played, engine = play(url, questions=2)
    assert [trajectory.answer for trajectory in played] == [None, None]
    assert engine.endpoint.usage.empty == 4
    assert "4 of the replies empty" in engine.cost_line()
    (notice,) = NOTICES.collected()
    assert notice.what == "replies of the endpoint were empty: all was in a field for reasoning"
    assert notice.count == 4
    lines = silent_arms({("policy", "toy", "greedy"): played}.items())
    assert lines == ["policy, toy, greedy: ALL 4 REPLIES WERE EMPTY. This 0 % says nothing about the model."]
    assert NOTICES.collected()[1].line() == (
        "all replies were empty, so the accuracy says nothing about the model: 1 (policy, toy, greedy)"
    )


def test_an_endpoint_that_says_nothing_ends_the_run_with_what_to_do():
    # eight are enough; how many more arrive while these are read is the threads' affair
    said = r"all (8|9|1\d) replies of .*looker.* reasoning parser"
    with stub("reasoning") as url, pytest.raises(UserError, match=said):
        play(url, questions=8)


def message(finish_reason="stop", **parts):
    choice = {"index": 0, "message": {"role": "assistant", **parts}, "finish_reason": finish_reason}
    return Answer(body={"choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}})


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (message("length", content=None, reasoning="Well"), "raise max_new_tokens"),
        (message(content=[]), "see how the model is served"),
        (message(content=[{"type": "thinking", "thinking": "Hm."}]), "reasoning parser"),
    ],
)
def test_the_remedy_fits_the_cause(answer, said):
    with chat_server(lambda asked, number: answer) as (url, _), pytest.raises(UserError, match=said):
        play(url, questions=9)


def test_one_reply_with_text_is_enough_to_go_on_and_an_arm_that_spoke_is_not_silent():
    def answer(asked, number):
        return message(content=ANSWER if number == 0 else None)

    with chat_server(answer) as (url, _):
        played, engine = play(url, questions=10, concurrency=1)
    assert sum(trajectory.answer == "yes" for trajectory in played) == 1
    assert engine.endpoint.usage.empty == 18
    assert not silent_arms([(("policy",), played), (("nobody",), [])])


def test_an_empty_reply_is_not_kept(tmp_path):
    said = iter([None, ANSWER])
    with chat_server(lambda asked, number: message(content=next(said))) as (url, server):
        config = EndpointConfig(url=url, model="m", cache_dir=tmp_path)
        asked = [{"role": "user", "content": "?"}]
        replies = [ChatEndpoint(config).complete(asked, max_tokens=5).text for _ in range(3)]
    assert replies == ["", ANSWER, ANSWER]
    assert len(server.asked) == 2


TEXT = {"type": "text", "text": "yes"}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("yes", "yes"),
        (None, ""),
        ([], ""),
        ([TEXT, {"type": "text", "text": ", it is"}], "yes, it is"),
        ([{"type": "output_text", "text": "yes", "annotations": []}], "yes"),
        ([{"type": "refusal", "refusal": "I cannot."}], "I cannot."),
        ([{"type": "text", "text": {"value": "yes", "annotations": []}}], "yes"),
        ([{"type": "message", "content": [TEXT]}], "yes"),
        ([[TEXT], "!"], "yes!"),
        ([{"text": "yes"}], "yes"),
        (TEXT, "yes"),
        (["yes"], "yes"),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, TEXT], "yes"),
        ([{"type": "reasoning", "text": "Hm."}, TEXT], "yes"),
        ([{"text": "Hm.", "thought": True}, TEXT], "yes"),
        ([{"type": "image_url", "image_url": {"url": "data:"}}, TEXT], "yes"),
        ([None, 3, True, TEXT], "3yes"),
        (
            [{"type": "tool_use", "name": "look", "input": {}}],
            '<tool_call>{"name": "look", "arguments": {}}</tool_call>',
        ),
        (7, "7"),
    ],
)
def test_content_in_any_form_is_text(content, text):
    assert message_text({"content": content}) == text


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        ('{"image": 0}', '{"image": 0}'),
        ({"image": 0}, '{"image": 0}'),
        ("", "{}"),
        (None, "{}"),
        ('{"text": "</tool_call>"}', '{"text": "\\u003c/tool_call>"}'),
        ('{"image": 0', '{"image": 0'),
        ("[0]", "[0]"),
    ],
)
def test_a_call_is_written_as_it_was_meant_or_as_it_came(arguments, written):
    call = f'<tool_call>{{"name": "zoom", "arguments": {written}}}</tool_call>'
    native = {
        "content": "Closer.",
        "tool_calls": [{"type": "function", "function": {"name": "zoom", "arguments": arguments}}],
    }
    older = {"content": None, "function_call": {"name": "zoom", "arguments": arguments}}
    assert message_text(native) == f"Closer.{call}"
    assert message_text(older) == call
    assert has_calls(native)
    assert has_calls(older)


def test_two_native_calls_are_two_calls_in_one_turn():
    calls = [{"function": {"name": "zoom", "arguments": "{}"}}] * 2
    with chat_server(lambda asked, number: message("tool_calls", content="", tool_calls=calls)) as (url, _):
        (played,), _ = play(url)
    assert isinstance(played.turns[0].action, ParseError)
    assert played.turns[0].action.message == "There are 2 tool_call blocks; write exactly one in a turn."


def test_a_refusal_is_what_was_said():
    assert message_text({"content": None, "refusal": "I cannot help."}) == "I cannot help."
    assert message_text({"content": "yes", "refusal": None}) == "yes"
    assert not has_reasoning({"content": "yes", "reasoning": None, "reasoning_content": ""})


def test_a_judge_that_says_nothing_is_no_judge(tmp_path):
    sample = VQASample(
        id="1",
        benchmark="b",
        split="test",
        question="?",
        answers=("heart",),
        images=(),
        group_id="1",
        answer_type="open",
    )
    with stub("reasoning") as url:
        judge = Judge("mute", ask_endpoint(ChatEndpoint(EndpointConfig(url=url, model="m"))), tmp_path)
        with pytest.raises(UserError, match=r"all 2 replies of the judge mute were empty.*judge\.body\.max_tokens"):
            judge.verdicts(["cardiac", "spleen", "heart"], [sample] * 3)
    parts = [{"type": "text", "text": "Correct"}]
    with chat_server(lambda asked, number: message(content=parts)) as (url, _):
        judge = Judge("in parts", ask_endpoint(ChatEndpoint(EndpointConfig(url=url, model="m"))), tmp_path)
        assert judge.verdicts(["cardiac"], [sample]) == [1.0]


def test_any_message_is_read():
    for odd in ({"tool_calls": "x"}, {"tool_calls": [None, {"function": None}, {}]}, {"content": {"type": None}}):
        json.dumps(message_text(odd))
