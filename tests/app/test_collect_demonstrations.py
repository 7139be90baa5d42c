"""Demonstrations from a teacher: kept where right, well formed and looked; nothing lost by faults or kills."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pyarrow.json import read_json

from medvista.app.commands.run import main
from medvista.app.config.command_line import load_config
from medvista.app.questions import Questions
from medvista.data.trajectories import read_trajectories
from medvista.functional.text import exact_match
from medvista.policies import VLMPolicy
from medvista.types import VQASample
from tests.app.oracle_teacher import OracleTeacher
from tests.chat_server import Answer, Asked, ChatServer, chat_server, failing

QUESTIONS = ["experiment=collect_demonstrations", "data.train_images=3", "env.view_size=32", "trainer.threads=1"]


@pytest.fixture(scope="module")
def samples() -> list[VQASample]:
    """Four families of questions on three phantoms; six of twelve ask for a look."""
    return Questions(load_config(QUESTIONS)).train


@contextmanager
def serving(teacher: object, folder: Path, *more: str) -> Iterator[tuple[list[str], ChatServer]]:
    """The command that collects from a teacher, and what its server was asked."""
    with chat_server(teacher) as (url, server):  # type: ignore[arg-type]
        endpoint = f"{{url: '{url}', model: oracle, backoff_s: 0, timeout_s: 1.5, concurrency: 4, prompt_price: 2.0, "
        yield (
            [
                *QUESTIONS,
                "collect.teacher=endpoint",
                f"policy.endpoint={endpoint}completion_price: 8.0}}",
                f"output_dir={folder}",
                f"cache_dir={folder.parent / 'cache'}",
                *more,
            ],
            server,
        )


def attempts(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "attempts.jsonl").read_text().splitlines()]


def verdicts(folder: Path) -> Counter[object]:
    return Counter(attempt["verdict"] for attempt in attempts(folder))


@pytest.mark.slow
def test_an_oracle_behind_a_faulty_endpoint_makes_demonstrations_that_sft_learns_from(
    samples: list[VQASample], tiny: list[str], tmp_path: Path
) -> None:
    empty, garbled, wrong = [sample.id for sample in samples if sample.metadata["needs"] == "zoom"][:3]
    said = {empty: "", garbled: "I think it is <answer>", wrong: "<answer>neither</answer>"}
    teacher = OracleTeacher(samples, 32, faults=6, replies=lambda sample, turn: said.get(sample.id))
    folder = tmp_path / "kept"
    with serving(teacher, folder) as (command, server):
        assert main(command) == 0
    needing = sum(sample.metadata["needs"] != "none" for sample in samples)
    counts = verdicts(folder)
    assert counts["kept"] == needing - 3
    assert counts["wrong answer"] == 1
    assert counts["malformed turn"] == 2
    assert counts["no look"] == len(samples) - needing
    kept = list(read_trajectories(folder / "demonstrations.jsonl"))
    assert len(kept) == needing - 3
    # The look that the teacher was shown, pixel by pixel, is the one that is kept.
    later = [asked for asked in server.asked if len(asked.body["messages"]) > 3]
    shown = {image.tobytes() for asked in later for image in asked.images(3)}
    assert {episode.turns[0].observation.images[0].pixels.tobytes() for episode in kept} <= shown  # type: ignore[union-attr]
    _check_card(folder, kept=needing - 3, played=len(samples))
    _check_messages(folder, kept=needing - 3)
    run = tmp_path / "run"
    assert main([*tiny, f"output_dir={run}", f"sft.path={folder}", "arms=[sft]", "sft.steps=1"]) == 0
    assert json.loads((run / "checkpoints" / "sft" / "done.json").read_text())["steps"] == 1


def _check_card(folder: Path, *, kept: int, played: int) -> None:
    card = (folder / "README.md").read_text()
    assert f"| kept | {kept} | {kept / played:.1%} |" in card
    assert f"| phantom | {played} | {kept} | {kept / played:.1%} |" in card
    assert "oracle at http://127.0.0.1" in card
    assert "no test question was asked" in card
    cost = json.loads((folder / "cost.json").read_text())
    assert cost["retries"] >= 6
    assert cost["empty"] >= 1
    dollars = (cost["prompt_tokens"] * 2.0 + cost["completion_tokens"] * 8.0) / 1e6
    assert f"{cost['requests']:,} requests" in card
    assert f"${dollars:,.2f}" in card


def _check_messages(folder: Path, *, kept: int) -> None:
    rows = read_json(folder / "messages.jsonl").to_pylist()  # as `datasets` reads it: every column has one type
    assert len(rows) == kept
    for row in rows:
        text = "".join(message["content"] for message in row["messages"])
        assert text.count("<image>") == len(row["images"])
        assert all((folder / image).is_file() for image in row["images"])
        assert [message["role"] for message in row["messages"][:3]] == ["system", "user", "assistant"]


def test_what_a_kill_leaves_is_gone_on_with_and_nothing_is_asked_twice(
    samples: list[VQASample], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher, folder = OracleTeacher(samples, 32), tmp_path / "kept"
    limit = {"requests": 9}

    def until_the_key_expires(asked: Asked, number: int) -> Answer:
        return teacher(asked, number) if number < limit["requests"] else failing(401, "expired")

    batches = "collect.batch_size=3"
    with serving(until_the_key_expires, folder, batches) as (command, server):
        assert main(command) == 2
        assert "What was collected so far is kept: resume=true goes on." in capsys.readouterr().err
        assert "cut short" in (folder / "README.md").read_text()
        before = attempts(folder)
        assert 0 < len(before) < len(samples)
        _tear(folder)
        limit["requests"] = 10**6
        asked_before = len(server.asked)
        assert main([*command, "resume=true"]) == 0
        asked = [teacher.sample(request).id for request in server.asked[asked_before:]]
    done = {attempt["question"] for attempt in before}
    assert not done & set(asked)
    after = attempts(folder)
    assert sorted(str(attempt["question"]) for attempt in after) == sorted(sample.id for sample in samples)
    kept = [str(attempt["question"]) for attempt in after if attempt["verdict"] == "kept"]
    assert sorted(kept) == sorted(e.sample.id for e in read_trajectories(folder / "demonstrations.jsonl"))
    assert "cut short" not in (folder / "README.md").read_text()
    assert main([*command, "resume=true", "collect.look=none"]) == 2
    assert "collect.look was any and is none" in capsys.readouterr().err


def _tear(folder: Path) -> None:
    """What a kill between a demonstration and its attempt, and one within a line, leave behind."""
    log = folder / "attempts.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    last = next(line for line in lines if '"kept"' in line)
    log.write_text("".join(line for line in lines if line != last) + last[:20])
    with (folder / "demonstrations.jsonl").open("a") as file:
        file.write('{"sample": {"id": "to')


def test_more_episodes_per_question_stop_at_the_wanted_number_and_repeat_none(
    samples: list[VQASample], tmp_path: Path
) -> None:
    folder = tmp_path / "kept"
    with serving(OracleTeacher(samples, 32), folder, "collect.samples=3", "collect.per_question=1") as (
        command,
        _,
    ):
        assert main(command) == 0
    needing = {sample.id for sample in samples if sample.metadata["needs"] != "none"}
    played = Counter(str(attempt["question"]) for attempt in attempts(folder))
    assert all(played[sample.id] == (1 if sample.id in needing else 3) for sample in samples)
    with serving(OracleTeacher(samples, 32), tmp_path / "again", "collect.samples=3") as (command, _):
        assert main(command) == 0
    # The oracle always does the same: what it does again is a duplicate.
    assert verdicts(tmp_path / "again")["duplicate"] == 2 * len(needing)
    assert verdicts(tmp_path / "again")["kept"] == len(needing)


def test_the_scripted_expert_demonstrates_without_any_model_and_can_ask_validation(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    cache = f"cache_dir={tmp_path / 'cache'}"
    command = [*QUESTIONS, f"output_dir={folder}", cache, "collect.split=validation", "data.validation_images=2"]
    assert main([*command, "collect.look=hit"]) == 0
    kept = list(read_trajectories(folder / "demonstrations.jsonl"))
    assert {episode.sample.split for episode in kept} == {"validation"}
    assert "All questions are of the validation split" in (folder / "README.md").read_text()


def test_reflections_are_added_and_counted(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    command = [*QUESTIONS, f"output_dir={folder}", f"cache_dir={tmp_path / 'cache'}", "collect.reflection_share=1"]
    assert main(command) == 0
    kept = list(read_trajectories(folder / "demonstrations.jsonl"))
    erring = [episode for episode in kept if not all(turn.learned for turn in episode.turns)]
    assert 0 < len(erring) < len(kept)
    assert f"| reflection | {len(erring)} |" in (folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["collect.teacher=endpoint"], "collect.teacher=endpoint needs a model to ask"),
        (["collect.look=fork"], "the scripted expert answers the same whatever it is shown"),
        (["collect.rationales=true"], "collect.rationales=true needs a model that writes"),
        (["env.tools=[]"], "without env.tools nobody can look"),
        (["trainer.devices=2"], "task=collect runs in one process"),
    ],
)
def test_what_cannot_be_collected_is_told_in_a_sentence(
    overrides: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*QUESTIONS, f"output_dir={tmp_path / 'kept'}", *overrides]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(("reads", "verdict"), [(True, "kept"), (False, "useless look")])
def test_forks_tell_a_teacher_that_reads_its_looks_from_one_that_knows_anyway(
    reads: bool, verdict: str, samples: list[VQASample], tmp_path: Path
) -> None:
    folder = tmp_path / "kept"
    with serving(OracleTeacher(samples, 32, reads=reads), folder, "collect.look=fork") as (command, _):
        assert main(command) == 0
    needing = sum(sample.metadata["needs"] != "none" for sample in samples)
    assert verdicts(folder) == {verdict: needing, "no look": len(samples) - needing}


@pytest.mark.slow
def test_rejection_sampling_keeps_what_the_policy_got_right(schooled: VLMPolicy, tmp_path: Path) -> None:
    schooled.save_pretrained(tmp_path / "policy")
    folder = tmp_path / "kept"
    command = [
        *QUESTIONS,
        "collect={teacher: policy, samples: 3, look: none}",
        "env.tools=[zoom]",  # as it was schooled
        f"policy.path={tmp_path / 'policy'}",
        "trainer.accelerator=cpu",
        "max_new_tokens=40",
        f"cache_dir={tmp_path / 'cache'}",
        f"output_dir={folder}",
    ]
    assert main(command) == 0
    kept = list(read_trajectories(folder / "demonstrations.jsonl"))
    assert all(episode.answer and exact_match(episode.answer, episode.sample.answers) for episode in kept)
    assert 0 < len(kept) == verdicts(folder)["kept"] < len(attempts(folder))
    assert all(int(str(attempt["tokens"])) > 0 for attempt in attempts(folder))
