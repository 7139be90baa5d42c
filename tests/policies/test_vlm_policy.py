"""`VLMPolicy`: what may be sampled, other families than the nano model's, and folders that hold no model."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    CLIPVisionConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    Qwen2Config,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from medvista.errors import UserError
from medvista.policies import SamplingParams, VLMPolicy
from medvista.rollout import RolloutCollector, TokenBatch
from medvista.types import TokenStream, VQASample

TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,  # at the usual 0.02 a model this small hardly minds what it reads
    "max_position_embeddings": 2048,
}


def llava(nano: VLMPolicy) -> VLMPolicy:
    """Square images of 16 tokens, one-dimensional positions."""
    vocabulary = nano.tokenizer.get_vocab()
    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
        initializer_factor=5.0,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=Qwen2Config(vocab_size=len(vocabulary) + 8, **TEXT),
        image_token_id=vocabulary["<|image_pad|>"],
        image_seq_length=16,
        vision_feature_layer=-1,
        initializer_range=0.2,
    )
    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return VLMPolicy(
        model=LlavaForConditionalGeneration(config), tokenizer=nano.tokenizer, image_processor=processor
    ).eval()


def qwen2_vl(nano: VLMPolicy) -> VLMPolicy:
    """Images as grids of patches, three-dimensional positions."""
    vocabulary = nano.tokenizer.get_vocab()
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]}
    config = Qwen2VLConfig(
        text_config={"vocab_size": len(vocabulary) + 8, "rope_parameters": rope, **TEXT},
        vision_config={
            "depth": 1,
            "embed_dim": 32,
            "hidden_size": 32,
            "num_heads": 2,
            "mlp_ratio": 2,
            "patch_size": 8,
            "temporal_patch_size": 1,
            "spatial_merge_size": 2,
            "initializer_range": 0.2,
        },
        image_token_id=vocabulary["<|image_pad|>"],
        video_token_id=vocabulary["<|video_pad|>"],
        vision_start_token_id=vocabulary["<|vision_start|>"],
        vision_end_token_id=vocabulary["<|vision_end|>"],
    )
    return VLMPolicy(
        model=Qwen2VLForConditionalGeneration(config), tokenizer=nano.tokenizer, image_processor=nano.image_processor
    ).eval()


@pytest.mark.parametrize("family", [llava, qwen2_vl])
def test_another_family_plays_and_is_scored_by_the_same_code(
    family: Callable[[VLMPolicy], VLMPolicy],
    nano: VLMPolicy,
    questions: list[VQASample],
    make_collector: Callable[..., RolloutCollector],
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    family(nano).save_pretrained(tmp_path)
    policy = VLMPolicy.from_pretrained(tmp_path).eval()
    params = SamplingParams(max_new_tokens=12, temperature=0.8)
    episodes = make_collector(policy).collect(questions[:6], params, seeds=range(6))
    assert all(len(episode.turns) > 1 for episode in episodes)
    batch = TokenBatch.from_streams([episode.stream for episode in episodes])
    with torch.no_grad():
        scores, _ = batch.log_probs(policy, temperature=0.8)
        blind = TokenBatch.from_streams([_with_black_images(episode.stream) for episode in episodes])
        unseen, _ = blind.log_probs(policy, temperature=0.8)
    for row, episode in enumerate(episodes):
        recorded = torch.tensor(episode.stream.log_probs)
        torch.testing.assert_close(scores[row, : len(recorded)], recorded, atol=1e-4, rtol=0)
    assert (scores - unseen).abs().max() > 0.01  # the images reach the logits: the agreement above means something


def _with_black_images(stream: TokenStream) -> TokenStream:
    images: tuple[Any, ...] = tuple(
        {**image, "pixel_values": torch.zeros_like(image["pixel_values"])} for image in stream.images
    )
    return TokenStream(
        token_ids=stream.token_ids, loss_mask=stream.loss_mask, log_probs=stream.log_probs, images=images
    )


def test_of_the_special_tokens_only_the_end_of_turn_may_be_sampled(nano: VLMPolicy) -> None:
    banned = {
        "<|endoftext|>",
        "<|im_start|>",
        "<|vision_start|>",
        "<|vision_end|>",
        "<|image_pad|>",
        "<|video_pad|>",
    }
    vocabulary = nano.tokenizer.get_vocab()
    assert {token for token, i in vocabulary.items() if not nano.allowed_ids[i]} == banned
    assert nano.allowed_ids[vocabulary["<|im_end|>"]]


def test_the_padded_tail_of_the_vocabulary_may_not_be_sampled(nano: VLMPolicy) -> None:
    rows = nano.model.get_output_embeddings().weight.shape[0]
    assert rows > len(nano.tokenizer)
    assert nano.allowed_ids.shape == (rows,)
    assert not nano.allowed_ids[len(nano.tokenizer) :].any()


def test_visual_placeholders_are_banned_even_where_the_tokenizer_calls_them_ordinary(nano: VLMPolicy) -> None:
    policy = llava(nano)
    ordinary = nano.tokenizer.get_vocab()["solid" if "solid" in nano.tokenizer.get_vocab() else "a"]
    policy.model.config.image_token_id = ordinary
    again = VLMPolicy(model=policy.model, tokenizer=nano.tokenizer, image_processor=policy.image_processor)
    assert policy.allowed_ids[ordinary]
    assert not again.allowed_ids[ordinary]


def test_training_scores_are_zero_where_no_loss_is_carried_and_do_not_depend_on_the_bucket(
    schooled: VLMPolicy, demonstrations: list[Any]
) -> None:
    batch = TokenBatch.from_streams([episode.stream for episode in demonstrations])
    with torch.no_grad():
        together, entropy = batch.log_probs(schooled, entropy="value")
        apart, _ = batch.log_probs(schooled, rows_at_once=3)
    assert (together[~batch.loss_mask] == 0).all()
    assert (entropy[~batch.loss_mask] == 0).all()
    assert (together[batch.loss_mask] < 0).all()
    torch.testing.assert_close(together, apart, atol=1e-4, rtol=0)


def test_entropy_is_that_of_the_distribution_the_token_was_drawn_from(
    schooled: VLMPolicy, demonstrations: list[Any]
) -> None:
    batch = TokenBatch.from_streams([demonstrations[0].stream])
    column = int(batch.loss_mask[0].nonzero()[2])
    with torch.no_grad():
        _, entropy = batch.log_probs(schooled, temperature=0.7, entropy="value")
        images = {name: torch.cat([im[name] for im in batch.images[0]]) for name in batch.images[0][0]}
        logits = schooled.logits(batch.token_ids, batch.attention_mask, images)[0, column - 1]
    p = (logits[schooled.allowed_ids] / 0.7).softmax(0)
    torch.testing.assert_close(entropy[0, column], -(p * p.log()).sum(), atol=1e-4, rtol=0)


def test_a_model_of_a_type_that_no_family_knows_is_refused_with_those_that_are(nano: VLMPolicy) -> None:
    model = copy.copy(nano.model)
    model.config = copy.copy(nano.model.config)
    model.config.model_type = "paligemma"
    with pytest.raises(UserError, match=r"type 'paligemma' cannot be used here: .+; known types are .*qwen2_vl") as e:
        VLMPolicy(model=model, tokenizer=nano.tokenizer, image_processor=nano.image_processor)
    assert "\n" not in str(e.value)


def _empty(folder: Path) -> None:
    folder.mkdir()


def _broken_config(folder: Path) -> None:
    folder.mkdir()
    (folder / "config.json").write_text("{")


def _unknown_model(folder: Path) -> None:
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "no_such_model"}')


@pytest.mark.parametrize("make", [lambda folder: None, _empty, _broken_config, _unknown_model])
def test_a_folder_without_a_model_is_explained_in_one_sentence(make: Callable[[Path], None], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    make(folder)
    with pytest.raises(
        UserError, match=rf"cannot load .* from '{re.escape(str(folder))}' \(.+\); give policy.path"
    ) as e:
        VLMPolicy.from_pretrained(folder)
    assert "\n" not in str(e.value)


def test_torn_weights_are_explained_in_one_sentence(nano: VLMPolicy, tmp_path: Path) -> None:
    nano.save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match="cannot load a vision-language model") as e:
        VLMPolicy.from_pretrained(tmp_path)
    assert "\n" not in str(e.value)
