"""`medvista check-model`, and its quick form at the start of a run: what passes, and what is told of planted faults."""

from __future__ import annotations

import copy
import time
from pathlib import Path

import pytest
import torch

from medvista.app.commands.main import main
from medvista.app.config.schema import ExperimentConfig, PolicyConfig
from medvista.app.evaluating.given_policies import GivenPolicies
from medvista.app.model_check import check_model, hold_to_checks
from medvista.app.model_check.finding import WIDTH, Finding, to_text
from medvista.app.training.base_model import SHIPPED
from medvista.errors import UserError
from medvista.policies import Loading, VLMPolicy
from medvista.settings import LoRAConfig


def verdicts(findings: list[Finding]) -> dict[str, str]:
    return {finding.check: finding.verdict for finding in findings}


def said(findings: list[Finding], check: str) -> str:
    return next(finding.said for finding in findings if finding.check == check)


@pytest.fixture
def blind(nano: VLMPolicy) -> VLMPolicy:
    """A policy whose projector gives nothing, as one whose pixels never arrive."""
    policy = copy.deepcopy(nano)
    for parameter in policy.vision_tower.merger.parameters():  # type: ignore[union-attr]
        torch.nn.init.zeros_(parameter)
    return policy


def test_the_shipped_model_passes_in_one_table_of_a_hundred_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-model", str(SHIPPED), "--view-size", "96"]) == 0
    table = capsys.readouterr().out
    assert max(map(len, table.splitlines())) <= WIDTH
    assert "FAIL" not in table
    for told in (
        "<|image_pad|>",
        "<|im_end|>; demonstrations end with <|im_end|>",
        "per picture of 96 x 48",
        "qwen3_vl",
    ):
        assert told in table


def test_a_model_that_sees_no_picture_fails_in_the_engine_and_in_the_trainer(
    blind: VLMPolicy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = check_model(blind, view_size=32)
    assert verdicts(found)["sight in trainer"] == verdicts(found)["sight in engine"] == "FAIL"
    assert "does not see picture 0, 1, 2 of 3 in the trainer" in said(found, "sight in trainer")
    blind.save_pretrained(tmp_path)
    assert main(["check-model", str(tmp_path), "--view-size", "32"]) == 1
    assert "look whether its weights hold a trained vision tower" in " ".join(capsys.readouterr().out.split())


def test_a_run_ends_with_the_sentence_on_a_model_that_sees_nothing(blind: VLMPolicy) -> None:
    expected = r"mine: the model does not see picture 0, 1 of 2 in the trainer: .+check-model mine` tells"
    with pytest.raises(UserError, match=expected):
        hold_to_checks(blind, "mine", view_size=32)


def test_an_evaluation_loads_no_model_that_fails(blind: VLMPolicy, tmp_path: Path) -> None:
    blind.save_pretrained(tmp_path)
    config = ExperimentConfig(policy=PolicyConfig(path=str(tmp_path)))
    with pytest.raises(UserError, match="does not see picture"):
        GivenPolicies(config).policy("policy")


def test_an_engine_that_counts_positions_otherwise_than_the_trainer_is_found_out(
    nano: VLMPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = copy.deepcopy(nano)
    original = policy.family.text_positions
    monkeypatch.setattr(policy.family, "text_positions", lambda next_position: original(next_position + 9))
    found = check_model(policy, view_size=32)
    assert verdicts(found)["engine and trainer"] == "FAIL"
    assert "ratios that are not 1" in said(found, "engine and trainer")
    assert verdicts(found)["sight in trainer"] == "pass"


def test_a_model_that_cannot_read_its_own_rendering_is_explained(nano: VLMPolicy) -> None:
    policy = copy.deepcopy(nano)
    policy.family.config.vision_config.spatial_merge_size = 1  # four times the placeholders that there are features
    with pytest.raises(UserError, match=r"cannot read an episode of its own rendering \(.+\); look whether") as error:
        check_model(policy, view_size=32)
    assert "\n" not in str(error.value)


def test_tags_that_the_tokenizer_calls_special_may_be_sampled_and_are_pointed_out(nano: VLMPolicy) -> None:
    tokenizer = copy.deepcopy(nano.tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<answer>", "</answer>"]})
    policy = VLMPolicy(model=nano.model, tokenizer=tokenizer, image_processor=nano.image_processor).eval()
    assert policy.allowed_ids[tokenizer.convert_tokens_to_ids(["<answer>", "</answer>"])].all()
    found = check_model(policy, view_size=32)
    assert verdicts(found)["tags"] == "note"
    assert "<answer>, </answer> are special tokens" in said(found, "tags")


def test_a_template_that_opens_a_thought_is_pointed_out(nano: VLMPolicy) -> None:
    tokenizer = copy.deepcopy(nano.tokenizer)
    tokenizer.chat_template = tokenizer.chat_template.replace("assistant\n", "assistant\n<think>\n")
    policy = VLMPolicy(model=nano.model, tokenizer=tokenizer, image_processor=nano.image_processor).eval()
    assert verdicts(check_model(policy, view_size=32))["prompt"] == "note"


def test_the_check_changes_nothing_that_a_run_draws_or_learns_from(nano: VLMPolicy) -> None:
    policy = copy.deepcopy(nano).train()
    policy.vision_tower.eval()
    modes = [module.training for module in policy.modules()]
    drawn = torch.get_rng_state()
    hold_to_checks(policy, "mine", view_size=32)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert [module.training for module in policy.modules()] == modes


def test_the_quick_form_takes_less_than_half_a_second_of_a_processor() -> None:
    policy = VLMPolicy.from_pretrained(SHIPPED).eval()
    hold_to_checks(policy, "shipped", view_size=96)  # the first time the libraries prepare themselves
    began = time.process_time()
    hold_to_checks(policy, "shipped", view_size=96)
    assert time.process_time() - began < 0.5


def test_adapters_and_types_are_those_that_the_run_would_have(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("peft")
    settings = ["policy.dtype=bfloat16", "policy.lora.rank=4", "trainer.precision=bf16-mixed"]
    assert main(["check-model", str(SHIPPED), *settings, "--view-size", "96"]) == 0
    table = " ".join(capsys.readouterr().out.split())
    assert "of them in adapters, bfloat16" in table
    assert "3e-01 is allowed" in table
    assert main(["check-model", str(SHIPPED), "policy.dtpe=bfloat16"]) == 2
    assert "policy.dtype" in capsys.readouterr().err


def test_a_folder_of_adapters_is_checked_with_them(nano: VLMPolicy, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    nano.save_pretrained(tmp_path / "base")
    policy = VLMPolicy.from_pretrained(tmp_path / "base", Loading(lora=LoRAConfig(rank=4)))
    policy.save_pretrained(tmp_path / "adapters")
    assert main(["check-model", str(tmp_path / "adapters"), "--view-size", "32"]) == 0


def test_a_gap_of_mixed_precision_is_measured_in_it(nano: VLMPolicy) -> None:
    exact, mixed = (
        said(check_model(nano, view_size=32, precision=precision), "engine and trainer")
        for precision in ("32-true", "bf16-mixed")
    )
    gaps = [float(sentence.split("differ by ")[1].split()[0]) for sentence in (exact, mixed)]
    assert gaps[0] < 1e-4 < gaps[1] < 0.3


def test_long_sentences_are_wrapped_in_the_table() -> None:
    text = to_text([Finding(check="engine and trainer", verdict="FAIL", said="word " * 60)])
    assert max(map(len, text.splitlines())) <= WIDTH
    assert text.count("word") == 60


def test_what_is_no_model_is_one_sentence_and_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-model", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: cannot load a vision-language model from")
