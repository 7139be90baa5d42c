"""A key that comes from the environment is sent where it belongs, and stands in no file of a run."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medvista.app.commands.run import main
from tests.chat_server import Answer, Asked, chat_server, saying

KEY = "sk-this-is-nobodys-business-4711"


@pytest.fixture
def ward(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    data.mkdir()
    lines = ["question,answer,file,split"]
    for number in range(3):
        Image.fromarray(np.full((24, 24), 40 * number, np.uint8)).save(data / f"{number}.png")
        lines.append(f"Is it dark?,yes,{number}.png,test")
    (data / "t.csv").write_text("\n".join(lines) + "\n")
    (data / "ward.yaml").write_text(
        "name: ward\nquestions: t.csv\ncolumns: {question: question, answer: answer, image: file, split: split}\n"
    )
    return data / "ward.yaml"


def test_a_key_appears_in_no_file_not_even_where_the_endpoint_repeats_it(
    ward: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    sent: list[str] = []

    def answer(asked: Asked, number: int) -> Answer:
        sent.append(asked.headers["authorization"])
        if number == 1:
            return Answer(503, {"error": {"message": f"busy, dear {KEY}"}})
        return saying(f"<think>the key is {KEY}</think><answer>yes {KEY}</answer>")

    monkeypatch.setenv("WARD_KEY", KEY)
    with chat_server(answer) as (url, _):
        endpoint = f"{{url: '{url}', model: m, key_env: WARD_KEY, cache_dir: '{tmp_path / 'answers'}', backoff_s: 0}}"
        command = [
            "experiment=evaluate",
            f"benchmarks=[{ward}]",
            f"policy.endpoint={endpoint}",
            "env={tools: [zoom], view_size: 32, max_turns: 2}",
            "evaluation={resamples: 20, arms: [policy], modes: [greedy], leakage: false, counterfactuals: []}",
            "trainer={accelerator: cpu, threads: 1}",
            f"output_dir={tmp_path / 'run'}",
            f"cache_dir={tmp_path / 'cache'}",
        ]
        assert main(command) == 0
    assert set(sent) == {f"Bearer {KEY}"}
    told = capfd.readouterr()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"config.yaml", "results.json", "report.html"} <= {path.name for path in files}
    assert any("answers" in path.parts for path in files)
    for form in (KEY.encode(), base64.b64encode(KEY.encode())[:24]):
        for content in (told.out.encode(), told.err.encode(), *(path.read_bytes() for path in files)):
            assert form not in content
