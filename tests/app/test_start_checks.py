"""What a run warns of before it begins, and tools set up by the configuration."""

from __future__ import annotations

import json
import logging

import pytest

from medvista.app.config.composition import compose
from medvista.app.config.schema import ExperimentConfig
from medvista.app.players import Players
from medvista.app.questions import Questions
from medvista.app.start_checks import warn_at_start
from medvista.app.toolboxes import find_tools
from medvista.errors import UserError

pytest.importorskip("bm25s", reason="pip install medvista[tools]")


def questions(*overrides):
    return Questions(compose(ExperimentConfig, ["experiment=smoke", *overrides]))


@pytest.fixture
def leaky(tmp_path):
    """A corpus that holds one evaluated question with its answer."""
    sample = questions().test["phantom"][0]
    row = {"text": "A nodule is round.", "title": "Nodule"}, {"question": sample.question, "answer": sample.answers[0]}
    (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, row)), encoding="utf-8")
    return tmp_path


def test_a_corpus_with_evaluated_answers_is_warned_about(leaky, caplog):
    with caplog.at_level(logging.WARNING):
        warn_at_start(questions("env.tools=[zoom,retrieve]", f"env.retrieve.corpus={leaky}"))
    assert "stand word for word beside their answer in the corpus" in caplog.text


def test_without_the_tool_no_corpus_is_read(leaky, caplog):
    with caplog.at_level(logging.WARNING):
        warn_at_start(questions(f"env.retrieve.corpus={leaky}/none"))
    assert caplog.text == ""


def test_a_tools_section_sets_it_up(leaky):
    given = questions("env.tools=[zoom,retrieve]", f"env.retrieve.corpus={leaky}", "env.retrieve.passage_words=50")
    zoom, retrieve = find_tools(given.config.env)
    assert zoom.name == "zoom"
    assert retrieve.function.config.corpus == str(leaky)
    assert retrieve.function.config.passage_words == 50


def test_an_absent_tool_stops_the_run_with_what_to_install():
    given = questions("env.tools=[segment]", "env.segment.backend=sam", "env.segment.checkpoint=no-such/model")
    with pytest.raises(UserError, match="segment is not available: the weights no-such/model"):
        _ = Players(given.config, given).tools
