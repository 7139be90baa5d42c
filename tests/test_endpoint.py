"""Asking a server over HTTP: patience, errors, cost, and what is kept."""

import email.utils
import itertools
import json
import logging
import time

import pytest

pytest.importorskip("httpx2")

from medvista.endpoint import ChatEndpoint, RequestRefusedError
from medvista.endpoint_answers import Usage, retry_after
from medvista.errors import UserError
from medvista.settings import EndpointConfig
from tests.chat_server import Answer, chat_server, failing, saying

HELLO = [{"role": "user", "content": "Hello."}]
SECRET = "sk-very-secret-key"


def endpoint(url, **options):
    return ChatEndpoint(EndpointConfig(url=url, model="m", **{"backoff_s": 0.01, **options}))


def ask(asked, draw=0, temperature=0.0):
    return asked.complete(HELLO, max_tokens=5, temperature=temperature, draw=draw)


def after(failures):
    """Answers, after these failures."""
    return lambda asked, number: failures[number] if number < len(failures) else saying("Hi.")


@pytest.mark.parametrize(
    "failure",
    [
        failing(429, "slow down"),
        failing(500),
        failing(503),
        failing(529, "overloaded"),
        Answer(hang_up=True),
        Answer(body="<html>a proxy says hello</html>"),
        Answer(body={"choices": []}),
    ],
    ids=["429", "500", "503", "529", "hang-up", "html", "no choice"],
)
def test_what_may_pass_is_tried_again(failure):
    with chat_server(after([failure, failure])) as (url, server):
        client = endpoint(url)
        assert ask(client).text == "Hi."
    assert len(server.asked) == 3
    assert client.usage == Usage(requests=1, retries=2, prompt_tokens=100, completion_tokens=7)


def test_a_request_without_answer_in_time_is_tried_again():
    slow = saying("late")
    slow.delay_s = 0.5
    with chat_server(after([slow])) as (url, _):
        assert ask(endpoint(url, timeout_s=0.1)).text == "Hi."


def test_a_retry_waits_as_long_as_the_server_asks():
    with chat_server(after([failing(429, **{"Retry-After": "1"})])) as (url, _):
        start = time.perf_counter()
        ask(endpoint(url, backoff_s=0.0))
    assert 1.0 <= time.perf_counter() - start < 2.5


def test_waits_grow_from_one_attempt_to_the_next():
    times = []

    def note(asked, number):
        times.append(time.perf_counter())
        return after([failing(503)] * 3)(asked, number)

    with chat_server(note) as (url, _):
        ask(endpoint(url, backoff_s=0.05))
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(wait >= 0.05 * 2**attempt for attempt, wait in enumerate(waits))


def test_a_wait_beyond_what_is_allowed_is_an_error_at_once():
    with (
        chat_server(after([failing(429, "daily limit", **{"Retry-After": "86400"})])) as (url, server),
        pytest.raises(UserError, match=r"asks to wait 86400 s .*daily limit"),
    ):
        ask(endpoint(url))
    assert len(server.asked) == 1


def test_retry_after_may_be_a_date():
    date = email.utils.formatdate(time.time() + 30, usegmt=True)
    assert 27 < retry_after({"retry-after": date}) <= 30
    assert retry_after({"retry-after": "soon"}) == 0.0


def test_patience_ends_with_what_was_wrong_last():
    with (
        chat_server(after([failing(503, "warming up")] * 9)) as (url, server),
        pytest.raises(UserError, match="no answer in 3 attempts; the last: HTTP 503: warming up"),
    ):
        ask(endpoint(url, retries=2))
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (failing(401, "bad key"), "401: the key in .MY_KEY was refused"),
        (failing(403, "not yours"), "403: the key in .MY_KEY was refused"),
        (failing(404, "no model m"), "404: check the URL and the model's name .no model m"),
        (failing(402, "pay"), "out of credit"),
        (failing(429, "exceeded", code="insufficient_quota"), "out of credit"),
        (Answer(status=307, body="", headers={"Location": "http://127.0.0.1:1/"}), "redirection"),
    ],
    ids=["401", "403", "404", "402", "quota", "redirect"],
)
def test_what_cannot_pass_is_said_at_once(failure, said, monkeypatch):
    monkeypatch.setenv("MY_KEY", SECRET)
    with chat_server(after([failure])) as (url, server), pytest.raises(UserError, match=said):
        ask(endpoint(url, key_env="MY_KEY"))
    assert len(server.asked) == 1


def test_a_missing_key_is_named(monkeypatch):
    monkeypatch.delenv("MY_KEY", raising=False)
    with chat_server(after([failing(401)])) as (url, server), pytest.raises(UserError, match="MY_KEY is not set"):
        ask(endpoint(url, key_env="MY_KEY"))
    assert "authorization" not in server.asked[0].headers


def test_a_refused_request_is_no_reason_to_ask_again():
    with chat_server(after([failing(400, "too long")])) as (url, server):
        client = endpoint(url)
        with pytest.raises(RequestRefusedError, match="HTTP 400: too long"):
            ask(client)
        assert ask(client).text == "Hi."
    assert len(server.asked) == 2
    assert client.usage.refused == 1


def test_nobody_is_found_there():
    with pytest.raises(UserError, match=r"no answer in 2 attempts; the last: ConnectError"):
        ask(endpoint("http://127.0.0.1:9/v1", retries=1))


def test_a_server_on_this_machine_is_asked_past_any_proxy(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with chat_server(after([])) as (url, _):
        assert ask(endpoint(url, retries=0)).text == "Hi."


def test_the_key_is_sent_and_never_told(monkeypatch, caplog, tmp_path):
    monkeypatch.setenv("MY_KEY", f"{SECRET}\n")
    failures = [failing(503, f"echo {SECRET}"), failing(401, f"Incorrect API key provided: {SECRET}")]
    with caplog.at_level(logging.DEBUG), chat_server(after(failures)) as (url, server):
        client = endpoint(url, key_env="MY_KEY", cache_dir=tmp_path)
        with pytest.raises(UserError) as told:
            ask(client)
        ask(client)
    assert server.asked[0].headers["authorization"] == f"Bearer {SECRET}"
    kept = [path.read_text() for path in tmp_path.rglob("*.json")]
    assert len(kept) == 1
    for text in (str(told.value), repr(client), client.cost_line(), caplog.text, *kept):
        assert SECRET not in text
    assert "[key]" in str(told.value)


def test_an_answer_is_kept_on_disk_and_not_paid_twice(tmp_path):
    with chat_server(lambda asked, number: saying(f"Answer {number}.")) as (url, server):
        first = ask(endpoint(url, cache_dir=tmp_path))
        again = endpoint(url, cache_dir=tmp_path)
        assert ask(again) == first
        assert ask(endpoint(url, cache_dir=tmp_path, body={"top_p": 0.5})).text == "Answer 1."
    assert len(server.asked) == 2
    assert again.usage == Usage()
    assert again.usage_from_disk == Usage(requests=1, prompt_tokens=100, completion_tokens=7)
    assert "Hello" not in "".join(path.read_text() for path in tmp_path.rglob("*.json"))


def test_a_cached_draw_is_one_siblings_own(tmp_path):
    with chat_server(lambda asked, number: saying(f"Answer {number}.")) as (url, _):
        client = endpoint(url, cache_dir=tmp_path, body={"seed": None})
        assert [ask(client, draw, temperature=1.0).text for draw in (1, 2, 1)] == [
            "Answer 0.",
            "Answer 1.",
            "Answer 0.",
        ]
        assert ask(client, 1).text == ask(client, 2).text == "Answer 2."


def test_a_damaged_cache_file_is_asked_again(tmp_path):
    with chat_server(lambda asked, number: saying(f"Answer {number}.")) as (url, _):
        ask(endpoint(url, cache_dir=tmp_path))
        for path in tmp_path.rglob("*.json"):
            path.write_text(json.dumps({"text": "x"})[:-3])
        assert ask(endpoint(url, cache_dir=tmp_path)).text == "Answer 1."


def test_the_cost_line_counts_what_was_paid(tmp_path):
    with chat_server(after([failing(500)])) as (url, _):
        priced = endpoint(url, cache_dir=tmp_path, prompt_price=2.5, completion_price=10.0)
        for draw in range(3):
            ask(priced, draw, temperature=1.0)
        ask(priced, 0, temperature=1.0)
        assert priced.cost_line() == (
            "m: 3 requests (1 retries, 0 refused), 300 prompt and 21 completion tokens, $0.00, 1 answers more from disk"
        )
        assert priced.usage.cost(2.5, 10.0) == pytest.approx((300 * 2.5 + 21 * 10) / 1e6)
        assert "no prices given" in endpoint(url).cost_line()


def test_an_error_wakes_those_who_wait_for_a_retry():
    def answer(asked, number):
        return failing(401) if asked.body["messages"][0]["content"] == "bad" else failing(503)

    with chat_server(answer) as (url, _):
        client = endpoint(url, backoff_s=30.0, concurrency=2)
        start = time.perf_counter()
        with pytest.raises(UserError, match="401"):
            client.map(
                lambda text: client.complete([{"role": "user", "content": text}], max_tokens=5), ["bad", "good", "good"]
            )
        assert time.perf_counter() - start < 5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": ""}, "no model"),
        ({"url": "localhost:8000/v1"}, "begin with http"),
        ({"url": "https://me:pass@host/v1"}, "must hold no key"),
        ({"concurrency": 0}, "at least 1"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(options, said):
    with pytest.raises(UserError, match=said):
        ChatEndpoint(EndpointConfig(**{"model": "m", **options}))


def test_the_url_may_be_given_to_its_end():
    with chat_server(after([])) as (url, server):
        ask(endpoint(f"{url}/chat/completions/"))
        ask(endpoint(f"{url}/"))
    assert [asked.path for asked in server.asked] == ["/v1/chat/completions"] * 2
