"""Rows of a shared cache come, go and change places, and each keeps what was written to it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import Gemma3TextConfig, PretrainedConfig, Qwen3NextConfig, Qwen3VLTextConfig

from medvista.policies.engines.row_cache import RowCache

CONFIG = Qwen3VLTextConfig(num_hidden_layers=2, hidden_size=8, num_attention_heads=1, num_key_value_heads=1, head_dim=2)


def write(cache: RowCache, rows: slice, news: list[list[float]]) -> tuple[Tensor, list[Tensor]]:
    """Feeds keys with these values, padded on the left; the mask, and the keys that each layer hands out."""
    width = max(map(len, news))
    ids = torch.tensor([[-1] * (width - len(values)) + [int(value) for value in values] for values in news])
    fed = cache.feed(rows, ids, [len(values) for values in news])
    padded = torch.tensor([[torch.nan] * (width - len(values)) + values for values in news], dtype=torch.float32)
    states = padded[:, None, :, None].expand(-1, 1, -1, 2)
    keys = [cache.states.update(states, -states, layer)[0][:, 0, :, 0] for layer in range(2)]
    for row, visible in enumerate(fed.real.bool()):
        assert fed.ids[row][visible].tolist() == keys[0][row][visible].long().tolist()
    return fed.causal, keys


def seen(mask: Tensor, keys: Tensor) -> list[list[float]]:
    """What the last token of each row sees."""
    return [row[visible].tolist() for row, visible in zip(keys, mask[:, 0, -1], strict=True)]


def test_each_row_sees_its_own_tokens_and_no_padding() -> None:
    cache = RowCache(CONFIG, torch.device("cpu"))
    cache.add([7, 8])
    mask, keys = write(cache, cache.join([7, 8]), [[1, 2, 3], [4]])
    assert seen(mask, keys[0]) == seen(mask, keys[1]) == [[1, 2, 3], [4]]
    assert mask[0, 0].int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert mask[1, 0].any(dim=-1).all()  # padding sees something: a softmax of nothing would be NaN
    mask, keys = write(cache, slice(0, 2), [[9], [5, 6]])
    assert seen(mask, keys[1]) == [[1, 2, 3, 9], [4, 5, 6]]


def test_what_padding_computed_is_never_read() -> None:
    cache = RowCache(CONFIG, torch.device("cpu"))
    cache.add([0, 1])
    _, keys = write(cache, cache.join([0, 1]), [[1] * 5, [2]])
    assert not keys[0].isnan().any()  # NaN stands where padding was fed
    cache.leave([1])
    mask, keys = write(cache, slice(0, 1), [[3]])
    assert keys[0].shape == (1, 6)
    assert seen(mask, keys[0]) == [[1, 1, 1, 1, 1, 3]]


def test_a_prompt_is_copied_without_what_came_after_it() -> None:
    cache = RowCache(CONFIG, torch.device("cpu"))
    cache.add([0])
    write(cache, cache.join([0]), [[1, 2]])
    (prompt,) = [type(row)(episode=row.episode, length=row.length) for row in cache.rows]
    write(cache, slice(0, 1), [[3]])
    cache.add([1])
    cache.copy([0], cache.join([1]), [prompt])
    mask, keys = write(cache, slice(0, 2), [[4], [5]])
    assert seen(mask, keys[0]) == [[1, 2, 3, 4], [1, 2, 5]]


@given(st.lists(st.tuples(st.sampled_from("ajlfd"), st.sets(st.integers(0, 5), min_size=1)), max_size=30))
@settings(max_examples=40)
def test_rows_keep_their_tokens_whatever_comes_and_goes(moves: list[tuple[str, set[int]]]) -> None:
    cache, kept, running, value = RowCache(CONFIG, torch.device("cpu")), {}, set(), 0.0
    for kind, chosen in moves:
        if kind == "a":
            new = sorted(chosen - kept.keys())
            cache.add(new)
            kept |= {episode: [] for episode in new}
        elif kind == "j":
            cache.join(sorted((chosen & kept.keys()) - running))
            running |= chosen & kept.keys()
        elif kind == "l":
            cache.leave(chosen & running)
            running -= chosen
        elif kind == "d":
            gone = (chosen & kept.keys()) - running
            cache.drop(gone)
            kept = {episode: tokens for episode, tokens in kept.items() if episode not in gone}
        elif running:
            news = []
            for row in cache.decoding:
                news.append([value + i for i in range(1 + row.episode % 3)])
                value += len(news[-1])
                kept[row.episode].extend(news[-1])
            mask, keys = write(cache, slice(0, len(running)), news)
            assert seen(mask, keys[0]) == seen(mask, keys[1]) == [kept[row.episode] for row in cache.decoding]
        assert {row.episode for row in cache.decoding} == running
        assert {row.episode: row.length for row in cache.rows} == {e: len(tokens) for e, tokens in kept.items()}


def test_buffers_grow_and_keep_what_they_held() -> None:
    cache = RowCache(CONFIG, torch.device("cpu"))
    cache.add([0])
    write(cache, cache.join([0]), [[1, 2]])
    cache.add(range(1, 40))  # more rows and, below, more columns than there were
    mask, keys = write(cache, slice(0, 1), [[3.0] * 300])
    assert seen(mask, keys[0]) == [[1, 2] + [3] * 300]


@pytest.mark.parametrize(
    ("config", "holds"),
    [
        (CONFIG, True),
        (Gemma3TextConfig(num_hidden_layers=6, sliding_window=8), True),  # the mask says how far back layers look
        (Qwen3NextConfig(num_hidden_layers=4), False),  # a recurrent state remembers padding
    ],
)
def test_layers_with_a_state_are_not_held(config: PretrainedConfig, holds: bool) -> None:
    assert RowCache.holds(config) is holds
