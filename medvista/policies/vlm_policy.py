"""The policy: a vision-language model with its tokenizer and image processor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoImageProcessor, AutoTokenizer

from medvista.errors import UserError
from medvista.functional.log_probs import WithEntropy, chosen_log_probs
from medvista.parsing import TAGS
from medvista.policies.adapters import has_adapters, read_base, save_adapters, unwrapped
from medvista.policies.families import Family, Image, TurnEnds, family_class, find_chat_template, turn_ends
from medvista.policies.hidden_states import (
    Rows,
    can_share_prompts,
    states_before,
    states_behind_shared_prompts,
    states_of_packed_rows,
)
from medvista.policies.image_features import ImageFeatures, shapes
from medvista.policies.loading import Loading, load_model
from medvista.policies.logits_head import apply_head, head_form
from medvista.policies.passed_tokens import PassedTokens
from medvista.policies.precision import apply_to_all_but_tables
from medvista.policies.shared_prompts import Prompt, find_prompts

ROWS_AT_ONCE = 48  # of similar length, in one pass through the model
_UNKNOWN = "unknown"  # the form of the head before the first forward pass


class VLMPolicy(nn.Module):
    """Wraps an ``AutoModelForImageTextToText`` for training and rollouts.

    What differs between models of different families (how pictures become tokens, positions, masks) is their `Family`,
    chosen by ``config.model_type``; models of another type are refused.

    Only ids that may be *sampled* get probability: special tokens other than those that end a turn, and the padded tail
    of the vocabulary, are banned, here and in the engine alike, so that both compute the same distribution.

    Raises:
        UserError: the model is of no known family, or nothing says how a turn of it ends.
    """

    allowed_ids: Tensor  # [V] bool

    def __init__(self, *, model: Any, tokenizer: Any, image_processor: Any) -> None:
        super().__init__()
        self.model = unwrapped(model)
        self.tokenizer = tokenizer
        self.image_processor = image_processor
        config = self.base_model.config
        self.family: Family = family_class(config)(config, tokenizer, image_processor)
        self.always_looks = False  # see `_beside_a_blank_picture`
        self._head_form: str | None = _UNKNOWN
        self._shares_prompts: bool | None = None  # not known before the first pass in which it matters
        self.features = ImageFeatures(self)  # of the images of one forward pass
        self.passed = PassedTokens()
        self.value_head: nn.Linear | None = None
        self.turn_ends: TurnEnds = turn_ends(tokenizer, self.base_model.generation_config)
        vocab_size = self.base_model.get_output_embeddings().weight.shape[0]
        allowed = _allowed_ids(tokenizer, vocab_size, self.turn_ends.ids)
        # Not every tokenizer calls the visual placeholders special, and a sampled one has no image behind it.
        allowed[[i for i in self.family.visual_ids() if i < vocab_size]] = False
        self.register_buffer("allowed_ids", allowed, persistent=False)

    @classmethod
    def from_pretrained(cls, path: str | Path, loading: Loading | None = None, **model_kwargs: Any) -> VLMPolicy:
        """Loads a hub id or a local folder in Hugging Face form.

        Args:
            path: hub id such as ``"Qwen/Qwen3-VL-8B-Instruct"``, or a folder written by `save_pretrained`: of a model,
                or of adapters that name theirs.
            loading: what becomes of the weights; by default float32, and all of them trained.
            model_kwargs: handed to ``AutoModelForImageTextToText.from_pretrained`` (``device_map``, ...).

        Raises:
            UserError: when nothing can be loaded from there.
        """
        try:
            model = load_model(path, loading or Loading(), **model_kwargs)
            beside = tokenizer_path(path)
            tokenizer = AutoTokenizer.from_pretrained(beside, trust_remote_code=False)
            image_processor = AutoImageProcessor.from_pretrained(beside, trust_remote_code=False)
            family = family_class(model.config)(model.config, tokenizer, image_processor)
            tokenizer.chat_template = find_chat_template(beside, tokenizer, family.mark)
            return cls(model=model, tokenizer=tokenizer, image_processor=image_processor)
        except UserError:
            raise
        except (OSError, ValueError, SafetensorError, UnpicklingError) as error:
            first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise UserError(
                f"cannot load a vision-language model from '{path}' ({first_line}); "
                "give policy.path a hub id that this machine can reach or a folder in Hugging Face format."
            ) from error

    def save_pretrained(self, path: str | Path) -> None:
        """Writes model (only its adapters, where it has some), tokenizer and image processor as one folder."""
        if has_adapters(self.model):
            save_adapters(self.model, path)
        else:
            self.model.save_pretrained(path)
        self.tokenizer.save_pretrained(path)
        self.image_processor.save_pretrained(path)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> VLMPolicy:
        """Moves and casts, as `nn.Module` does, all but the tables that the model's code computed."""
        apply_to_all_but_tables(self, partial(super()._apply, fn, recurse))
        return self

    def add_value_head(self) -> None:
        """Gives the policy values: a linear map of its last hidden state, 0 at first, not saved with the model."""
        width = self.base_model.config.get_text_config().hidden_size
        self.value_head = nn.Linear(width, 1, device=self.device)
        nn.init.zeros_(self.value_head.weight)
        nn.init.zeros_(self.value_head.bias)

    @property
    def base_model(self) -> Any:
        """The model in Hugging Face form, without the adapters that PEFT may have wrapped around it."""
        unwrap = getattr(self.model, "get_base_model", None)
        return self.model if unwrap is None else unwrap()

    @property
    def body(self) -> nn.Module:
        """The model below its head."""
        body: nn.Module = self.base_model.model
        return body

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self.base_model.device
        return device

    @property
    def image_token_id(self) -> int:
        """The placeholder of one visual token."""
        return self.family.image_token_id

    @property
    def vision_tower(self) -> nn.Module:
        """The image encoder, projector included where the model keeps them together."""
        return self.family.vision_tower(self.body)

    def count_visual_tokens(self, image: Image) -> int:
        """How many placeholder tokens one processed image takes."""
        return self.family.placeholders(image).count(self.family.image_token)

    def position_ids(self, input_ids: Tensor, attention_mask: Tensor, images: Mapping[str, Tensor]) -> Tensor:
        """Positions of each token, counted from 0 in every row: ``[B, T]``, or ``[3, B, T]`` for M-RoPE models."""
        return self.family.positions(self.body, input_ids, attention_mask, images)

    def logits(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | Mapping[str, Tensor | None],
        images: Mapping[str, Tensor],
        *,
        last: int = 0,
        **kwargs: Any,
    ) -> Tensor:
        """Raw next-token logits ``[B, T, V]`` (or of the `last` positions only) for right-padded streams.

        Args:
            input_ids: ``[B, T]``.
            attention_mask: ``[B, T]``, 1 on real tokens; with a cache, what `Family.visible` gives.
            images: of all rows, in the order of their placeholders, as `Family.collate` gives them.
            last: 0 keeps every position.
            kwargs: handed to the model (``position_ids``, ``past_key_values``, ...).
        """
        if isinstance(attention_mask, Tensor) and "position_ids" not in kwargs:
            kwargs["position_ids"] = self.position_ids(input_ids, attention_mask, images)
        kwargs = {**self.family.beside(input_ids), **images, **kwargs}
        return self.model(input_ids=input_ids, attention_mask=attention_mask, logits_to_keep=last, **kwargs).logits

    def forward(
        self,
        token_ids: Tensor,
        attention_mask: Tensor,
        loss_mask: Tensor,
        images: Sequence[Sequence[Image]],
        *,
        temperature: float = 1.0,
        entropy: WithEntropy = "no",
        values: bool = False,
        rows_at_once: int = ROWS_AT_ONCE,
        share_prompts: bool = False,
        packed: bool = False,
    ) -> tuple[Tensor, ...]:
        """Log-probability of every token that carries loss given those before it, and the entropy it was drawn at.

        Args:
            token_ids, attention_mask: ``[N, T]``, right-padded; 1 on real tokens.
            loss_mask: ``[N, T]`` bool.
            images: of each row, the processor's tensors in the order of their placeholders.
            temperature: of the sampling distribution.
            entropy: whether to compute the entropies, in nats, and with a gradient or not.
            values: whether to compute those of the value head, too.
            rows_at_once: rows of similar length that pass together.
            share_prompts: whether a prompt that several rows begin with is computed once, where the model allows it.
            packed: whether all rows go through the model as one, see `medvista.policies.packing`.

        Returns:
            ``[N, T]`` log-probabilities, entropies (zeros unless asked for) and, if asked for, values; 0 without loss.
        """
        self.features.clear()  # of a pass that failed
        scores = [torch.zeros_like(token_ids, dtype=torch.float32)] * (3 if values else 2)
        prompts = self.shared_prompts(token_ids, attention_mask, loss_mask, images) if share_prompts else None
        for chosen in _buckets(attention_mask.sum(dim=1), prompts, len(token_ids) if packed else rows_at_once):
            rows = Rows.chosen(chosen, token_ids, attention_mask, images)
            row, column = loss_mask[chosen, : rows.ids.shape[1]].nonzero(as_tuple=True)
            begin = None if prompts is None else [prompts[row] for row in chosen.tolist()]
            head, states = self._states_before(rows, begin, row, column, packed=packed)
            score = partial(chosen_log_probs, head, states, rows.ids[row, column], self.allowed_ids)
            found = [*score(temperature=temperature, entropy=entropy), *([self._values(states)] if values else [])]
            scores = [all_.index_put((chosen[row], column), some) for all_, some in zip(scores, found, strict=True)]
        self.features.clear()  # they hold the graph, and the next pass may have other weights
        return tuple(scores)

    def shared_prompts(
        self, token_ids: Tensor, attention_mask: Tensor, loss_mask: Tensor, images: Sequence[Sequence[Image]]
    ) -> list[Prompt] | None:
        """What rows begin with; None where no two begin alike, or the model cannot compute it once for several.

        Args: see `forward`, in which the model is asked whether it can; of a sharded one only there.
        """
        if self._shares_prompts is None:  # found out whatever the rows are, so that all processes do it together
            self._shares_prompts = self._form_of_head() is not None and can_share_prompts(self)
        if not self._shares_prompts:
            return None
        prompts = find_prompts(token_ids, attention_mask, loss_mask, images, self.family)
        return prompts if len({prompt.number for prompt in prompts}) < len(prompts) else None

    @torch.no_grad()
    def find_out_whether_prompts_can_be_shared(self) -> None:
        """Before rows are split by what can be shared; a collective step where the policy is sharded."""
        ids = self.allowed_ids.nonzero()[:8].T
        mask = torch.ones_like(ids)
        self(ids, mask, mask.cumsum(dim=1) > 1, [()], share_prompts=True)

    def _values(self, states_KD: Tensor) -> Tensor:
        """``[K]`` what is expected to be earned from each position on."""
        assert self.value_head is not None, "add_value_head first"
        return self.value_head(states_KD.to(self.value_head.weight.dtype)).squeeze(-1).float()

    def _beside_a_blank_picture(self, rows: Rows) -> Rows:
        """Rows without an image, and below them one that shows nothing, so that the vision tower takes part.

        A vision tower that is sharded over processes gathers its weights, and adds up its gradients, in all or in none.
        """
        (blank,) = self.family.see([np.zeros((64, 64), dtype=np.uint8)])
        text = self.tokenizer(self.family.placeholders(blank), add_special_tokens=False, return_tensors="pt")
        shown = text.input_ids[0].to(rows.ids)
        below = (0, max(0, len(shown) - rows.ids.shape[1]), 0, 1)  # columns for it, and a row
        ids, mask = nn.functional.pad(rows.ids, below), nn.functional.pad(rows.mask, below)
        ids[-1, : len(shown)], mask[-1, : len(shown)] = shown, 1
        return Rows(ids=ids, mask=mask, images=[*rows.images, [blank]])

    def _states_before(
        self, rows: Rows, prompts: Sequence[Prompt] | None, row: Tensor, column: Tensor, *, packed: bool
    ) -> tuple[Callable[[Tensor], Tensor], Tensor]:
        """A head, and the ``[K, D]`` states whose logits the tokens at ``(row, column)`` were drawn from."""
        if self.always_looks and not rows.shown:
            rows, prompts = self._beside_a_blank_picture(rows), None
        form = self._form_of_head()
        if form is None:  # the states are the logits themselves
            positions = self.position_ids(rows.ids, rows.mask, shapes(rows.shown, rows.ids.device))
            images = self.features.inputs(rows.shown)
            return torch.nn.Identity(), self.logits(rows.ids, rows.mask, images, position_ids=positions)[
                row, column - 1
            ]
        head = partial(apply_head, self.base_model, form)
        self.passed.add(rows.mask, prompts, packed=packed)
        if packed:
            return head, states_of_packed_rows(self, rows, row, column)
        if prompts is None:
            return head, states_before(self, rows, row, column)
        return head, states_behind_shared_prompts(self, rows, prompts, row, column)

    @property
    def head_stands_apart(self) -> bool:
        """Whether the head can be applied to chosen states alone; else rows go through as they are, padded."""
        return self._form_of_head() is not None

    def _form_of_head(self) -> str | None:
        if self._head_form is _UNKNOWN:
            self._head_form = head_form(self.base_model, self._on_some_text)
        return self._head_form

    def _on_some_text(self, model: Any) -> Any:
        """What a model, or the body of it, gives for a few tokens of text."""
        ids = self.allowed_ids.nonzero()[:8].T
        mask = torch.ones_like(ids)
        positions = self.position_ids(ids, mask, {})
        kwargs = {**self.family.beside(ids), "position_ids": positions, "use_cache": False}
        return model(input_ids=ids, attention_mask=mask, **kwargs)


def _buckets(lengths: Tensor, prompts: Sequence[Prompt] | None, size: int) -> Sequence[Tensor]:
    """Numbers of rows of similar length, those of one prompt side by side."""
    if prompts is None:
        return lengths.argsort(stable=True).split(size)
    longest: dict[int, int] = {}
    for length, prompt in zip(lengths.tolist(), prompts, strict=True):
        longest[prompt.number] = max(length, longest.get(prompt.number, 0))
    order = sorted(range(len(prompts)), key=lambda row: (longest[prompts[row].number], prompts[row].number))
    return torch.tensor(order, device=lengths.device).split(size)


def tokenizer_path(path: str | Path) -> str | Path:
    """Where tokenizer and image processor of a model are: beside adapters, or else with their base model."""
    base = read_base(path)
    return path if base is None or (Path(path) / "tokenizer_config.json").exists() else base


def _allowed_ids(tokenizer: Any, vocab_size: int, ends: Sequence[int]) -> Tensor:
    """``[V]`` True where an id may be sampled: those of text, and the ones that end a turn."""
    allowed = torch.zeros(vocab_size, dtype=torch.bool)
    allowed[: len(tokenizer)] = True
    banned = set(tokenizer.all_special_ids)
    banned |= {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    allowed[[i for i in banned if i < vocab_size]] = False
    vocabulary = tokenizer.get_vocab()  # some call the tags of the turn grammar special, which has to be written
    allowed[[vocabulary[tag] for tag in TAGS if tag in vocabulary]] = True
    allowed[list(ends)] = True
    return allowed
