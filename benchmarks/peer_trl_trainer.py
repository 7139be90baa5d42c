"""Updates of `benchmarks.peer_work` by TRL: its GRPOTrainer with an environment per episode."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoTokenizer, Qwen3VLForConditionalGeneration, TrainerCallback
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor

from benchmarks.peer_ours import KL
from benchmarks.peer_work import ForcedCalls, ImagePasses, Update, Work, banned_ids, peak_rss_mb
from medvista.envs import MedicalVQAEnv
from medvista.errors import UserError
from medvista.parsing import format_action
from medvista.types import Observation, ToolCall

try:
    import trl.trainer.grpo_trainer as grpo
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer
    from trl.chat_template_utils import qwen3_vl_chat_template
except ImportError as error:
    raise UserError("benchmarks.peer_trl compares with TRL: install it with pip install 'medvista[peer]'.") from error


class Processor(Qwen3VLProcessor):
    """Without videos, whose processor wants torchvision."""

    attributes = ("image_processor", "tokenizer")

    def __init__(self, image_processor: Any = None, tokenizer: Any = None, **options: Any) -> None:
        super().__init__(image_processor, tokenizer, None, **options)

    @classmethod
    def get_attributes(cls) -> list[str]:
        """What it is made of."""
        return list(cls.attributes)


def zoom_environment(work: Work) -> type:
    """The class of an environment whose one tool is medvista's zoom, in medvista's own environment."""

    class Zooms:
        def __init__(self) -> None:
            self._env = MedicalVQAEnv(work.samples, view_size=work.view_size, max_turns=work.most_looks + 1)

        def reset(self, number: int, **_: Any) -> list[dict[str, Any]]:
            first, _ = self._env.reset(seed=0, options={"sample": work.samples[number]})
            return _blocks(first)

        def zoom(self, bbox_2d: list[int]) -> list[dict[str, Any]]:
            """Look closer at a part of an image: crops it from the source image at full resolution.

            Args:
                bbox_2d: the part to look at, x1 y1 x2 y2, each 0-1000 of the width or height of the image.
            """
            seen, *_ = self._env.step(format_action(ToolCall(name="zoom", arguments={"bbox_2d": bbox_2d})))
            return _blocks(seen)

        def get_reward(self) -> float:
            return 0.0

    return Zooms


def _blocks(observation: Observation) -> list[dict[str, Any]]:
    pictures = [Image.fromarray(np.asarray(image.pixels)).convert("RGB") for image in observation.images]
    return [{"type": "image", "image": picture} for picture in pictures] + [{"type": "text", "text": observation.text}]


def tools_text(work: Work, folder: Path) -> str:
    """What TRL's prompt says about the tool, for the other side's."""
    zoom = zoom_environment(work).zoom  # type: ignore[attr-defined]
    text = _processor(folder).tokenizer.apply_chat_template(
        [{"role": "user", "content": "?"}], tools=[zoom], tokenize=False
    )
    return str(text.split("<|im_start|>system\n")[1].split("<|im_end|>")[0])


def _processor(folder: Path) -> Processor:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = qwen3_vl_chat_template
    return Processor(AutoImageProcessor.from_pretrained(folder), tokenizer, chat_template=qwen3_vl_chat_template)


class _Watch(TrainerCallback):
    """Notes what each step took."""

    def __init__(self, trainer: _Watched, model: Any, calls: ForcedCalls) -> None:
        self.trainer, self.calls = trainer, calls
        self.passes = ImagePasses(model.model.visual)
        self.of_reference = ImagePasses(trainer.ref_model.model.visual)
        self.updates: list[Update] = []
        self._begun, self._turns, self._encoded = 0.0, 0, 0

    @property
    def encoded(self) -> int:
        """Images that went through either vision tower."""
        return self.passes.images + self.of_reference.images

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """The generation belongs to the step."""
        self._begun, self._turns, self._encoded = time.perf_counter(), self.calls.turns, self.encoded

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """All of it is done."""
        played = self.trainer.played
        self.updates.append(
            Update(
                seconds=time.perf_counter() - self._begun,
                turns=self.calls.turns - self._turns,
                encoded_in_training=self.encoded - self._encoded - played["encoded"],
                images=0,
                rss_mb=peak_rss_mb(),
                **played,
            )
        )


class _Watched(GRPOTrainer):
    """Notes what the rollout of a step took."""

    played: dict[str, Any]
    watch: _Watch
    fed = 0  # tokens that went through the language model, padding not counted

    def _generate(self, prompts: list[Any]) -> Any:
        begun, fed, encoded = time.perf_counter(), self.fed, self.watch.encoded
        found = super()._generate(prompts)
        prompt_ids, completion_ids = found[0], found[1]
        size = self.num_generations
        self.played = {
            "rollout_s": time.perf_counter() - begun,
            "fed_tokens": self.fed - fed,
            "encoded": self.watch.encoded - encoded,
            "trained_tokens": sum(map(len, prompt_ids)) + sum(map(len, completion_ids)),
            "distinct_tokens": sum(len(ids) - 1 for ids in completion_ids) + sum(map(len, prompt_ids[::size])),
        }
        return found


@contextmanager
def _parsed_by(calls: ForcedCalls) -> Iterator[None]:
    own = grpo.parse_response
    grpo.parse_response = calls
    try:
        yield
    finally:
        grpo.parse_response = own


def play_and_learn(work: Work, updates: int, folder: Path, scratch: Path) -> list[Update]:
    """Some updates from the work's weights on.

    Args:
        work: what is played.
        updates: how many.
        folder: where the work's policy is saved.
        scratch: where TRL may write.
    """
    model = Qwen3VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    model.model.visual.requires_grad_(False)
    calls = ForcedCalls(work.looks_of_episodes)
    rows = [
        {"prompt": [{"role": "user", "content": ""}], "number": number % work.prompts}
        for number in range(work.prompts * updates)
    ]
    trainer = _Watched(
        model=model,
        processing_class=_processor(folder),
        train_dataset=Dataset.from_list(rows),
        environment_factory=zoom_environment(work),
        args=_arguments(work, updates, scratch),
    )
    trainer.watch = watch = _Watch(trainer, model, calls)
    trainer.add_callback(watch)
    model.model.language_model.register_forward_pre_hook(_count_fed(trainer), with_kwargs=True)
    with _parsed_by(calls):
        trainer.train()
    return watch.updates


def _count_fed(trainer: _Watched) -> Any:
    def count(module: Any, args: Any, kwargs: Any) -> None:
        embedded, mask = kwargs["inputs_embeds"], kwargs.get("attention_mask")
        new = embedded.shape[1]
        real = mask.dim() == 2 if isinstance(mask, torch.Tensor) else False
        trainer.fed += int(mask[:, -new:].sum()) if real else embedded.shape[0] * new

    return count


def _arguments(work: Work, updates: int, scratch: Path) -> Any:
    return GRPOConfig(
        output_dir=str(scratch),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,  # nothing is short of memory here, and time is what counts
        per_device_train_batch_size=work.episodes,
        num_generations=work.siblings,
        max_steps=updates,
        beta=KL,
        loss_type="grpo",
        learning_rate=1e-5,
        shuffle_dataset=False,
        max_completion_length=2**15,
        generation_kwargs={"max_new_tokens": work.tokens, "suppress_tokens": banned_ids(work.policy)},
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        log_level="error",
    )
