"""A chat template that the tokenizer does not have is found where the model's authors put it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medvista.errors import UserError
from medvista.policies import ChatRenderer, VLMPolicy
from medvista.policies.nano import CHAT_TEMPLATE
from medvista.types import Observation

TEXT_ALONE = "{% for message in messages %}{{ message.content }}{% endfor %}"


def _without(nano: VLMPolicy, folder: Path) -> None:
    nano.save_pretrained(folder)
    (folder / "chat_template.jinja").unlink()
    assert "chat_template" not in (folder / "tokenizer_config.json").read_text()


@pytest.mark.parametrize("name", ["chat_template.json", "processor_config.json"])
@pytest.mark.parametrize("form", ["text", "several"])
def test_a_template_in_the_processors_files_is_found(name: str, form: str, nano: VLMPolicy, tmp_path: Path) -> None:
    _without(nano, tmp_path)
    several = [{"name": "rag", "template": TEXT_ALONE}, {"name": "default", "template": CHAT_TEMPLATE}]
    written = {"chat_template": CHAT_TEMPLATE if form == "text" else several}
    (tmp_path / name).write_text(json.dumps(written))
    policy = VLMPolicy.from_pretrained(tmp_path)
    observation = Observation(text="What is it?")
    expected = ChatRenderer(nano).prompt([observation])[0].token_ids
    assert ChatRenderer(policy).prompt([observation])[0].token_ids == expected
    assert policy.turn_ends == nano.turn_ends


def test_one_that_places_images_is_preferred_to_the_tokenizers_own_for_text(nano: VLMPolicy, tmp_path: Path) -> None:
    _without(nano, tmp_path)
    (tmp_path / "chat_template.jinja").write_text(TEXT_ALONE)
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": CHAT_TEMPLATE}))
    assert VLMPolicy.from_pretrained(tmp_path).tokenizer.chat_template == CHAT_TEMPLATE


def test_a_found_template_is_saved_with_the_policy(nano: VLMPolicy, tmp_path: Path) -> None:
    _without(nano, tmp_path / "first")
    (tmp_path / "first" / "chat_template.json").write_text(json.dumps({"chat_template": CHAT_TEMPLATE}))
    VLMPolicy.from_pretrained(tmp_path / "first").save_pretrained(tmp_path / "second")
    assert VLMPolicy.from_pretrained(tmp_path / "second").tokenizer.chat_template == CHAT_TEMPLATE


def test_a_model_without_any_template_is_refused_in_one_sentence(nano: VLMPolicy, tmp_path: Path) -> None:
    _without(nano, tmp_path)
    with pytest.raises(UserError, match="has no chat template") as error:
        ChatRenderer(VLMPolicy.from_pretrained(tmp_path))
    assert "\n" not in str(error.value)
