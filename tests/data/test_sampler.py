"""An interrupted run draws exactly the samples that an uninterrupted one would have drawn."""

from itertools import islice

import pytest
from torch.utils.data import DataLoader

from medvista.data.sampler import ResumableSampler
from medvista.errors import UserError


def test_an_epoch_holds_every_sample_once_and_the_next_one_in_another_order() -> None:
    sampler = ResumableSampler(50, seed=1)
    first, second = sampler.take(50), sampler.take(50)
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second
    assert sampler.epoch == 2


def test_the_order_follows_the_seed() -> None:
    assert ResumableSampler(50, seed=1).take(70) == ResumableSampler(50, seed=1).take(70)
    assert ResumableSampler(50, seed=1).take(50) != ResumableSampler(50, seed=2).take(50)
    assert ResumableSampler(5, shuffle=False, endless=True).take(7) == [0, 1, 2, 3, 4, 0, 1]


@pytest.mark.parametrize("endless", [True, False])
@pytest.mark.parametrize("world_size", [1, 3])
@pytest.mark.parametrize("stop_after", [0, 1, 4, 12])
def test_a_resumed_run_goes_on_as_if_never_interrupted(endless: bool, world_size: int, stop_after: int) -> None:
    def make(rank: int) -> ResumableSampler:
        return ResumableSampler(10, seed=5, rank=rank, world_size=world_size, endless=endless)

    whole = [make(rank).take(30) for rank in range(world_size)]
    interrupted = [make(rank) for rank in range(world_size)]
    before = [sampler.take(stop_after) for sampler in interrupted]
    state = interrupted[0].state_dict()  # only rank 0 saves
    for rank in range(world_size):
        resumed = make(rank)
        resumed.load_state_dict(state)
        assert before[rank] + resumed.take(30 - stop_after) == whole[rank]


def test_ranks_deal_out_the_stream_of_one_rank() -> None:
    alone = ResumableSampler(10, seed=3, endless=True).take(12)
    ranks = [ResumableSampler(10, seed=3, rank=rank, world_size=3, endless=True).take(4) for rank in range(3)]
    assert [index for step in zip(*ranks, strict=True) for index in step] == alone


def test_a_run_may_go_on_with_another_number_of_ranks() -> None:
    alone = ResumableSampler(10, seed=3, endless=True)
    stream = ResumableSampler(10, seed=3, endless=True).take(12)
    alone.take(6)
    ranks = [ResumableSampler(10, seed=3, rank=rank, world_size=2, endless=True) for rank in range(2)]
    for sampler in ranks:
        sampler.load_state_dict(alone.state_dict())
    assert [sampler.take(3) for sampler in ranks] == [stream[6::2], stream[7::2]]


def test_more_ranks_than_an_epoch_has_left_start_the_next_one() -> None:
    alone = ResumableSampler(10, seed=3)
    alone.take(9)
    ranks = [ResumableSampler(10, seed=3, rank=rank, world_size=2) for rank in range(2)]
    for sampler in ranks:
        sampler.load_state_dict(alone.state_dict())
    assert sorted(index for sampler in ranks for index in sampler) == list(range(10))


def test_an_epoch_has_as_many_indices_on_every_rank_and_never_repeats_one() -> None:
    samplers = [ResumableSampler(10, seed=3, rank=rank, world_size=4) for rank in range(4)]
    drawn = [list(sampler) for sampler in samplers]
    assert [len(indices) for indices in drawn] == [len(sampler) for sampler in samplers] == [2, 2, 2, 2]
    assert len({index for indices in drawn for index in indices}) == 8
    for sampler in samplers:
        sampler.advance(2)
    assert {sampler.position for sampler in samplers} == {10}  # two indices were left out, so that epoch 1 is whole


def test_reading_ahead_uses_nothing() -> None:
    sampler = ResumableSampler(10, seed=3)
    expected = list(sampler)
    loader = iter(DataLoader(range(10), batch_size=2, sampler=sampler))  # type: ignore[arg-type]
    used = [next(loader).tolist() for _ in range(3)]
    sampler.advance(4)  # two batches trained on, the third only fetched
    assert sampler.state_dict()["position"] == 4
    assert used[2] == list(sampler)[:2] == expected[4:6]


def test_iterating_goes_on_from_the_middle_of_an_epoch_to_its_end() -> None:
    sampler = ResumableSampler(10, seed=3)
    whole = list(sampler)
    sampler.take(7)
    assert list(sampler) == whole[7:]
    sampler.take(3)
    assert sorted(sampler) == list(range(10))  # the next epoch


def test_an_endless_sampler_has_no_length_and_no_end() -> None:
    sampler = ResumableSampler(3, endless=True)
    assert len(list(islice(sampler, 20))) == 20
    with pytest.raises(TypeError, match="endless"):
        len(sampler)


def test_a_checkpoint_of_other_data_is_refused() -> None:
    state = ResumableSampler(10, seed=3).state_dict()
    with pytest.raises(UserError, match="made with data size 10, now it is 11"):
        ResumableSampler(11, seed=3).load_state_dict(state)
    with pytest.raises(UserError, match="seed 3, now it is 4"):
        ResumableSampler(10, seed=4).load_state_dict(state)
    with pytest.raises(UserError, match="2 samples cannot be shared by 4 ranks"):
        ResumableSampler(2, world_size=4)
