"""The training stream, from any start and for any number of processes."""

import itertools

import pytest
from detectron2.data.samplers import TrainingSampler
from detectron2.utils import comm

from imrsf_d2.data.training_stream import DrawnSamples, DrawSampler, take_share


def take(sampler, count):
    return list(itertools.islice(sampler, count))


def test_the_stream_is_detectron2s_with_its_places():
    numbers = take(DrawSampler(7, seed=5), 40)
    assert [number // 7 for number in numbers] == list(range(40))
    assert [number % 7 for number in numbers] == take(TrainingSampler(7, seed=5), 40)


@pytest.mark.parametrize("start", [1, 6, 7, 20])
def test_a_later_start_is_the_rest_of_the_stream(start):
    assert take(DrawSampler(7, seed=5, start=start), 30) == take(DrawSampler(7, seed=5), 30 + start)[start:]


def test_processes_share_the_stream_out(monkeypatch):
    whole = take(DrawSampler(7, seed=5, start=4), 30)
    monkeypatch.setattr(comm, "get_world_size", lambda: 3)
    shares = []
    for rank in range(3):
        monkeypatch.setattr(comm, "get_rank", lambda rank=rank: rank)
        shares.append(take(DrawSampler(7, seed=5, start=4), 10))
    assert [number for step in zip(*shares) for number in step] == whole


def test_numbers_are_taken_apart_and_samples_left_alone():
    samples = [{"name": "a"}, {"name": "b"}, {"name": "c"}]
    drawn = DrawnSamples(samples, mapper=lambda d: d)
    assert drawn[3 * 41 + 2] == {"name": "c", "draw": 41} and samples[2] == {"name": "c"}


def test_shares_are_nested_and_count_up_to_the_next_sample():
    samples = [{"image_id": number} for number in range(100)]
    before = []
    for percent in range(1, 101):
        chosen = take_share(samples, percent / 100)
        assert len(chosen) == percent and [s for s in samples if s in chosen] == chosen
        assert all(sample in chosen for sample in before)
        before = chosen
    assert len(take_share(samples, 0.101)) == 11 and len(take_share(samples, 1e-12)) == 1
    assert [s["image_id"] for s in take_share(samples, 0.1)] != list(range(10))
