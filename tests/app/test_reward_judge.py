"""A judge trains only after it has agreed with people, and then its verdicts are the reward."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from medvista.app.commands import score
from medvista.app.commands.run import main
from medvista.app.config.command_line import load_config
from medvista.app.reward_judge import check_judge
from medvista.errors import UserError
from medvista.metrics.judge_audit import labelled_answers, read_audit
from tests.chat_server import Answer, Asked, chat_server, saying

JUDGED = ["arms=[sft,sft_rl]", "rl.reward={judge: 1.0, accuracy: 0.0}", "rl.updates=2", "evaluation.counterfactuals=[]"]
QUOTED = re.compile(r"^(?:Reference answer .*?|Answer to grade): (.*)$", re.MULTILINE)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def graded(asked: Asked) -> tuple[str, str]:
    """The accepted answers and the answer to grade, as JSON."""
    answers, prediction = QUOTED.findall(asked.text())
    return answers, prediction


def knowing_the_table(but: int = 0) -> Callable[[Asked, int], Answer]:
    """A judge that says what the table says, but for some of the wrong answers, and calls everything else right."""
    labels = {(_json(row["answers"]), _json(row["prediction"])): row["right"] for row in labelled_answers()}
    fooled = [key for key, right in labels.items() if not right and key[1].strip('" ')][:but]
    return lambda asked, _: saying(
        "correct" if labels.get(graded(asked), True) or graded(asked) in fooled else "incorrect"
    )


def audit(url: str, cache: Path, model: str = "m") -> int:
    return score.main(["--audit", f"judge.model={model}", f"judge.url={url}", f"judge_cache={cache / 'judge'}"])


def test_an_audit_counts_where_a_judge_says_what_people_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with chat_server(knowing_the_table(but=11)) as (url, server):
        assert audit(url, tmp_path) == 0
        asked = len(server.asked)
    found = read_audit(tmp_path / "judge", "m")
    assert found is not None
    rows = [row for row in labelled_answers() if (row["prediction"] or "").strip()]
    wrong = sum(not row["right"] for row in rows)
    assert asked <= found.n == len(rows) > 200  # equal prompts are asked once
    assert found.agreement_right == 1
    assert found.agreement_wrong == pytest.approx(1 - len(found.disagreements) / wrong)
    assert 11 <= len(found.disagreements) <= 14  # a prediction may stand in the table twice
    assert found.agreement == pytest.approx(1 - len(found.disagreements) / len(rows))
    said = capsys.readouterr().out
    assert f"m agrees on {found.agreement:.1%} of {len(rows)} labelled answers" in said
    assert found.disagreements[0] in said


def test_who_says_yes_to_everything_does_not_agree(tmp_path: Path) -> None:
    with chat_server(lambda asked, number: saying("Correct.")) as (url, _):
        assert audit(url, tmp_path) == 0
    found = read_audit(tmp_path / "judge", "m")
    assert found is not None
    assert (found.agreement_right, found.agreement_wrong) == (1, 0)
    assert found.agreement < 0.7


def test_an_audit_is_of_one_judge_prompt_and_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with chat_server(knowing_the_table()) as (url, _):
        audit(url, tmp_path)
    assert read_audit(tmp_path / "judge", "another") is None
    for part in ("prompt_hash", "table_hash"):
        with monkeypatch.context() as changed:
            changed.setattr(f"medvista.metrics.judge_audit.{part}", lambda: "0" * 16)
            assert read_audit(tmp_path / "judge", "m") is None
    (path,) = (tmp_path / "judge").glob("audit-*.json")
    path.write_text(path.read_text().replace('"judge": "m"', '"judge": "n"'))  # copied from another judge's
    assert read_audit(tmp_path / "judge", "m") is None


def test_a_judge_that_nobody_audited_or_that_disagrees_trains_nothing(
    tiny: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with chat_server(lambda asked, number: saying("Correct.")) as (url, server):
        command = [*tiny, *JUDGED, f"output_dir={tmp_path / 'run'}", f"cache_dir={tmp_path}"]
        with pytest.raises(UserError, match=r"needs a judge: rl\.judge\.model=NAME"):
            check_judge(load_config(command))
        command += ["rl.judge.model=m", f"rl.judge.url={url}"]
        assert main(command) == 2
        told = " ".join(capsys.readouterr().err.split())
        assert f"python -m experiments.score --audit judge.model=m judge.url={url}" in told
        assert not server.asked
        audit(url, tmp_path)
        with pytest.raises(
            UserError, match=r"agrees on 0\.\d+ of the labelled answers, less than rl.judge_agreement=0.9"
        ):
            check_judge(load_config(command))
        check_judge(load_config([*command, "rl.judge_agreement=0.3"]))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_verdicts_are_the_reward(tiny: list[str], tmp_path: Path) -> None:
    with chat_server(knowing_the_table()) as (url, server):
        audit(url, tmp_path)
        before = len(server.asked)
        run = [*tiny, *JUDGED, f"output_dir={tmp_path / 'run'}", f"cache_dir={tmp_path}"]
        assert main([*run, "rl.judge.model=m", f"rl.judge.url={url}"]) == 0
        asked = [graded(each) for each in server.asked[before:]]
    assert asked  # answers that are no exact match and not the opposite of one: this judge calls them right
    with (tmp_path / "run" / "checkpoints" / "sft_rl" / "logs" / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["reward/judge"]]
    assert len(rows) == 2
    assert all(float(row["rollout/reward"]) == pytest.approx(float(row["reward/judge"])) for row in rows)
    assert sum(float(row["reward/judge"]) for row in rows) > sum(float(row["reward/accuracy"]) for row in rows)


def test_what_it_takes_stands_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert score.main(["--help"]) == 0
    assert "--audit" in capsys.readouterr().out
    assert score.main(["--audit"]) == 2
    assert "--audit needs a judge" in capsys.readouterr().err
