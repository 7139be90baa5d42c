"""A whole conversation, rendered piece by piece, is what the family's own processor makes of it at once."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import (
    Gemma3Processor,
    Glm4vProcessor,
    Glm46VProcessor,
    Idefics3Processor,
    InternVLProcessor,
    LlavaOnevisionProcessor,
    LlavaProcessor,
    Qwen2_5_VLProcessor,
    Qwen2VLProcessor,
    Qwen3VLProcessor,
)

from medvista.policies import ChatRenderer, VLMPolicy
from medvista.types import MedicalImage, Observation
from tests.policies.families.tiny_families import build

QUESTION, REPLY, ZOOMED, AGAIN = "What is it?", "Zoom of image 0.", "Window 30.", "Is it left?"


def of_pictures(kind: type, policy: VLMPolicy, **options: Any) -> Any:
    """A family's processor without one for videos, which would need torchvision."""

    class OfPictures(kind):  # type: ignore[misc]
        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> type:
            return type(argument)

    takes_videos = "video_processor" in inspect.signature(kind.__init__).parameters
    videos = {"video_processor": None} if takes_videos else {}
    return OfPictures(policy.image_processor, policy.tokenizer, **videos, **options)


_LLAVA = {"patch_size": 8, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
_ONEVISION = {"num_image_tokens": 16, "vision_feature_select_strategy": "full"}
PROCESSORS: dict[str, tuple[type, dict[str, Any]]] = {
    "qwen2_vl": (Qwen2VLProcessor, {}),
    "qwen2_5_vl": (Qwen2_5_VLProcessor, {}),
    "qwen3_vl": (Qwen3VLProcessor, {}),
    "qwen3_5": (Qwen3VLProcessor, {}),
    "internvl": (InternVLProcessor, {"image_seq_length": 4}),
    "gemma3": (Gemma3Processor, {"image_seq_length": 4}),
    "idefics3": (Idefics3Processor, {"image_seq_len": 4}),
    "smolvlm": (Idefics3Processor, {"image_seq_len": 4}),  # its own wants a package that counts frames of videos
    "llava": (LlavaProcessor, _LLAVA),
    "llava_onevision": (LlavaOnevisionProcessor, _ONEVISION),
    "glm4v": (Glm4vProcessor, {}),
    "glm46v": (Glm46VProcessor, {}),
}
SQUARE_ONLY = ("llava", "llava_onevision")  # others would be cropped or padded, and are not: a box counts on it


def pictures(name: str) -> list[np.ndarray]:
    sizes = [(48, 48), (24, 24), (64, 64)] if name in SQUARE_ONLY else [(48, 48), (20, 60), (64, 33)]
    draw = np.random.default_rng(0)
    return [draw.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def by_delta(policy: VLMPolicy, shown: Sequence[np.ndarray]) -> tuple[list[int], dict[str, Tensor]]:
    """Prompt, reply and observations of three turns as a rollout appends them."""
    views = [MedicalImage(pixels=pixels) for pixels in shown]
    renderer = ChatRenderer(policy)
    (prompt,) = renderer.prompt([Observation(text=QUESTION, images=tuple(views[:1]))])
    zoomed, again = renderer.delta(
        [Observation(text=ZOOMED, images=tuple(views[1:])), Observation(text=AGAIN)], closed=[False, False]
    )
    reply = policy.tokenizer(written(policy), add_special_tokens=False)["input_ids"]
    ids = [*prompt.token_ids, *reply, *zoomed.token_ids, *reply, *again.token_ids]
    return ids, policy.family.collate([*prompt.images, *zoomed.images])


def written(policy: VLMPolicy) -> str:
    """The reply with the space that some templates write before it, which a model samples with its turn."""
    messages = [{"role": "user", "content": [{"type": "text", "text": "?"}]}]
    head = policy.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    reply = {"role": "assistant", "content": [{"type": "text", "text": REPLY}]}
    whole = begun_alike(policy.tokenizer.apply_chat_template([*messages, reply], tokenize=False))
    return whole[len(head) : whole.index(REPLY) + len(REPLY)]


def begun_alike(text: str) -> str:
    """LLaVA-OneVision's template begins a reply in one way when it is written, and in another when it is asked for."""
    return text.replace("<|im_start|>assistant \n", "<|im_start|>assistant\n")


def conversation() -> list[dict[str, Any]]:
    image = {"type": "image"}
    reply = {"role": "assistant", "content": [{"type": "text", "text": REPLY}]}
    return [
        {"role": "user", "content": [image, {"type": "text", "text": QUESTION}]},
        reply,
        {"role": "user", "content": [image, image, {"type": "text", "text": ZOOMED}]},
        reply,
        {"role": "user", "content": [{"type": "text", "text": AGAIN}]},
    ]


@pytest.mark.parametrize("name", PROCESSORS)
def test_tokens_and_tensors_are_those_of_the_familys_own_processor(name: str) -> None:
    policy = build(name)
    kind, options = PROCESSORS[name]
    processor = of_pictures(kind, policy, **options)
    shown = pictures(name)
    ids, tensors = by_delta(policy, shown)
    text = policy.tokenizer.apply_chat_template(conversation(), tokenize=False, add_generation_prompt=True)
    text = begun_alike(text)
    begun = policy.tokenizer.bos_token is not None and text.startswith(policy.tokenizer.bos_token)
    images = [Image.fromarray(pixels) for pixels in shown]
    theirs = processor(text=[text], images=[images], return_tensors="pt", add_special_tokens=not begun)
    assert ids == theirs["input_ids"][0].tolist()
    for key, mine in tensors.items():
        expected = torch.as_tensor(np.asarray(theirs[key]))
        if name == "llava_onevision" and key == "pixel_values":
            expected = expected[:, 0][:, None]
        torch.testing.assert_close(mine.float().flatten(), expected.float().flatten(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("name", "side"), [("mistral3", 16), ("pixtral", 8)])
def test_pixtrals_pictures_are_written_line_by_line(name: str, side: int) -> None:
    """As published: its processor cannot be loaded without torchvision, even for pictures alone."""
    policy = build(name)
    shown = [np.zeros((20, 60, 3), dtype=np.uint8), np.zeros((48, 33, 3), dtype=np.uint8)]
    wide, high = policy.family.see(shown)  # at most 48 pixels long, and sides that are multiples of a token's
    assert [tuple(image["image_sizes"][0].tolist()) for image in (wide, high)] == [
        (16, 48),
        (48, 48 if side == 16 else 40),
    ]
    rows, columns = 16 // side, 48 // side
    expected = "[IMG_BREAK]".join(["[IMG]" * columns] * rows) + "[IMG_END]"
    assert policy.family.placeholders(wide) == expected
    theirs = policy.image_processor(images=shown, patch_size=side, return_tensors="pt")
    together = policy.family.collate([wide, high])
    assert torch.equal(together["image_sizes"], torch.as_tensor(theirs["image_sizes"]))
    for mine, other, (height, width) in zip(
        together["pixel_values"], theirs["pixel_values"], together["image_sizes"].tolist(), strict=True
    ):
        assert torch.equal(mine[:, :height, :width], other[:, :height, :width])


def test_a_template_that_would_write_the_date_is_given_the_tools_as_its_system_text() -> None:
    policy = build("mistral3")
    (prompt,) = ChatRenderer(policy, "Tools: zoom").prompt([Observation(text=QUESTION)])
    assert policy.tokenizer.decode(prompt.token_ids) == (
        "<s>[SYSTEM_PROMPT]Tools: zoom[/SYSTEM_PROMPT][INST]What is it?[/INST]"
    )


def test_gemmas_crops_are_written_as_its_processor_writes_them() -> None:
    policy = build("gemma3")
    policy.image_processor.do_pan_and_scan = True
    scan = {
        "pan_and_scan_min_crop_size": 16,
        "pan_and_scan_max_num_crops": 4,
        "pan_and_scan_min_ratio_to_activate": 1.2,
    }
    for key, value in scan.items():
        setattr(policy.image_processor, key, value)
    processor = of_pictures(Gemma3Processor, policy, image_seq_length=4)
    shown = [np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8) for size in ((20, 60, 3), (40, 40, 3))]
    mine = policy.family.see(shown)
    theirs = processor(
        text=["<start_of_image><start_of_image>"],
        images=[[Image.fromarray(pixels) for pixels in shown]],
        return_tensors="pt",
        images_kwargs={"do_pan_and_scan": True, **scan},
        add_special_tokens=False,
    )
    text = "".join(policy.family.placeholders(image) for image in mine)
    assert policy.tokenizer(text, add_special_tokens=False)["input_ids"] == theirs["input_ids"][0].tolist()
    assert [len(image["pixel_values"]) for image in mine] == [4, 1]
    assert torch.equal(policy.family.collate(mine)["pixel_values"], theirs["pixel_values"])
