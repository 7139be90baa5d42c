"""The head that the trainer applies to chunks gives the logits that the model itself gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3TextConfig,
    GemmaConfig,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    SiglipVisionConfig,
)

from medvista.notices import NOTICES
from medvista.policies import VLMPolicy
from medvista.policies.logits_head import PLAIN, apply_head, head_form

IDS = torch.arange(3, 11)[None]
SIZES: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
}
VISION = SiglipVisionConfig(
    hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
)


@pytest.fixture(autouse=True)
def no_notices() -> Iterator[None]:
    NOTICES.clear()
    yield
    NOTICES.clear()


def pali_gemma(**text: Any) -> PaliGemmaForConditionalGeneration:
    """A family that applies the cap of its text configuration."""
    text_config = GemmaConfig(**SIZES)
    text_config.update(text)
    torch.manual_seed(0)
    config = PaliGemmaConfig(text_config=text_config, vision_config=VISION, projection_dim=16, image_token_id=63)
    return PaliGemmaForConditionalGeneration(config).eval()


def on_text(model: Any) -> Any:
    return model(input_ids=IDS, attention_mask=torch.ones_like(IDS))


def largest_gap(model: Any, form: str) -> float:
    with torch.no_grad():
        return (apply_head(model, form, on_text(model.model)[0]) - on_text(model).logits).abs().max().item()


def test_a_cap_that_the_model_applies_is_applied() -> None:
    model = pali_gemma(final_logit_softcapping=0.05)
    assert head_form(model, on_text) == "final_logit_softcapping"
    assert largest_gap(model, "final_logit_softcapping") < 1e-6
    assert largest_gap(model, PLAIN) > 1e-3


def test_a_cap_that_the_configuration_names_and_the_class_does_not_apply_is_not_applied() -> None:
    torch.manual_seed(0)
    text = Gemma3TextConfig(**SIZES, final_logit_softcapping=0.05, layer_types=["full_attention"])
    model = Gemma3ForConditionalGeneration(
        Gemma3Config(text_config=text, vision_config=VISION, mm_tokens_per_image=4, image_token_index=63)
    ).eval()
    assert head_form(model, on_text) == PLAIN
    assert largest_gap(model, PLAIN) < 1e-6


def test_a_model_stays_in_the_mode_it_was_in() -> None:
    model = pali_gemma(final_logit_softcapping=0.05).train()
    head_form(model, on_text)
    assert model.training


class Doubled(nn.Module):
    """A head that does more than its configuration says."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model, self.config, self.whole = model.model, model.config, model

    def get_output_embeddings(self) -> Any:
        return self.whole.get_output_embeddings()

    def forward(self, **inputs: Any) -> Any:
        output = self.whole(**inputs)
        output.logits = 2 * output.logits
        return output


def test_an_unknown_head_is_said_and_left_to_the_model() -> None:
    assert head_form(Doubled(pali_gemma(final_logit_softcapping=0.05)), on_text) is None
    (said,) = NOTICES.collected()
    assert "all positions" in said.what
    assert said.examples == ("Doubled",)


def test_a_policy_whose_head_is_unknown_scores_with_the_logits_of_the_model(
    nano: VLMPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = torch.arange(300, 312)[None]
    mask = torch.ones_like(ids)
    loss_mask = (mask > 0) & (torch.arange(12) > 2)
    with torch.no_grad():
        expected = nano(ids, mask, loss_mask, [[]], entropy="value")
        monkeypatch.setattr(nano, "_head_form", None)
        found = nano(ids, mask, loss_mask, [[]], entropy="value")
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert (expected[0][loss_mask] < 0).all()
