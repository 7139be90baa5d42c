"""Image embeddings kept by content: the costly half of a segmentation is done once per image, whoever asks."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import numpy as np
from torch import Tensor

Embedding = tuple[Tensor, ...]  # feature maps of one image, each [1, C, h, w]


def content_key(picture: np.ndarray) -> bytes:
    """A name for what a picture shows: equal for equal pixels of equal shape."""
    digest = hashlib.blake2b(repr((picture.shape, picture.dtype.str)).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(picture).data)
    return digest.digest()


class EmbeddingCache:
    """The embeddings asked for last, safe between threads.

    Siblings of one question ask for the same image at the same time: the first computes, the others wait for it. Who
    asks for an image that is there already waits for nobody.

    Args:
        limit: number of images kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._futures: OrderedDict[bytes, Future[Embedding]] = OrderedDict()
        self._lock = threading.Lock()

    def get(
        self, pictures: Sequence[np.ndarray], compute: Callable[[Sequence[np.ndarray]], Sequence[Embedding]]
    ) -> list[Embedding]:
        """The embedding of each picture.

        Args:
            pictures: displays, uint8; equal ones are computed once.
            compute: embeddings of the pictures that are new, in order.
        """
        keys = [content_key(picture) for picture in pictures]
        futures, new = self._claim(keys)
        if new:
            self._fill({keys[index]: pictures[index] for index in new}, futures, new, compute)
        return [future.result() for future in futures]

    def _claim(self, keys: Sequence[bytes]) -> tuple[list[Future[Embedding]], list[int]]:
        """A future for each key, and the places of those that this call has to compute."""
        futures, new = [], []
        with self._lock:
            for index, key in enumerate(keys):
                if key not in self._futures:
                    self._futures[key] = Future()
                    new.append(index)
                self._futures.move_to_end(key)
                futures.append(self._futures[key])
        return futures, new

    def _fill(
        self,
        pictures: dict[bytes, np.ndarray],
        futures: Sequence[Future[Embedding]],
        new: Sequence[int],
        compute: Callable[[Sequence[np.ndarray]], Sequence[Embedding]],
    ) -> None:
        try:
            for index, embedding in zip(new, compute(list(pictures.values())), strict=True):
                futures[index].set_result(embedding)
        except BaseException as error:
            with self._lock:
                for key in pictures:
                    self._futures.pop(key, None)  # the next call tries again
            for index in new:
                if not futures[index].done():
                    futures[index].set_exception(error)
            raise
        self._evict()

    def _evict(self) -> None:
        with self._lock:
            done = [key for key, future in self._futures.items() if future.done()]
            for key in done[: max(len(self._futures) - self._limit, 0)]:
                del self._futures[key]
