"""The largest steps are run, and what they took is left free; read by a fake here."""

from __future__ import annotations

import pytest
import torch
from engine import plain_flash

from realtime.engine.model import build as building
from realtime.engine.model import memory, rehearsal
from realtime.engine.model.audio_embeddings import AudioEmbeddingCache
from realtime.engine.model.graphs import BATCHES, GRAPH_BYTES, Bucket, buckets_of
from realtime.engine.model.kv_cache import FP8, cell_bytes
from realtime.engine.model.memory import Taken
from realtime.engine.model.runner import Runner
from realtime.errors import ModelError

GIB = 1 << 30


class FakePeak:
    """Runs steps, and says that each took so many bytes."""

    def __init__(self, *sizes: int) -> None:
        self.sizes = list(sizes)
        self.read: list[int] = []

    def __call__(self, run):
        run()
        self.read.append(self.sizes.pop(0) if self.sizes else 1000)
        return self.read[-1]


def rehearsed(loaded, peak, **more):
    given = {
        "free": GIB,
        "slots": 3,
        "chunk": 64,
        "kv_dtype": None,
        "buckets": (),
        "kernel": None,
        "gather": True,
    }
    return rehearsal.rehearse(loaded, peak, **given | more)


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize(
    "way", [{"gather": False}, {}, {"kernel": plain_flash.varlen}, {"kv_dtype": FP8}]
)
def test_every_kind_of_step_is_run(loaded, slots, way):
    peak = FakePeak(100, 400, 200, 300, 50)
    taken = rehearsed(
        loaded, peak, slots=slots, buckets=buckets_of(slots, 2048, flash=False), **way
    )
    assert peak.read == [100, 400, 200, 300, 50]
    assert taken == Taken(int(400 * rehearsal.MARGIN), int(50 * rehearsal.MARGIN))


def test_the_widest_row_is_all_that_a_step_may_hold(loaded, monkeypatch):
    rows = []
    run = Runner.run

    def watched(self, parts):
        rows.append([(part.stop - part.start, part.stop, part.last) for part in parts])
        return run(self, parts)

    monkeypatch.setattr(Runner, "run", watched)
    rehearsed(loaded, FakePeak())
    talking = (1, 2048, True)
    assert rows == [[talking, talking, (64, 2048, True)], [talking] * 3]


def test_audio_is_the_largest_batch_with_a_mask(loaded, monkeypatch):
    heard = []
    encode = AudioEmbeddingCache.of

    def watched(self, clips):
        clips = list(clips)
        heard.append(sorted(len(clip.pcm) for clip in clips))
        return encode(self, clips)

    monkeypatch.setattr(AudioEmbeddingCache, "of", watched)
    rehearsed(loaded, FakePeak())
    assert heard[0] == [464_000, 480_000, 480_000, 480_000]


def test_what_was_read_is_left_free(loaded):
    buckets = (Bucket(1, 128), Bucket(2, 128))
    one = cell_bytes(loaded.model.config.text_config, torch.float32)

    def planned(some):
        return memory.plan(
            loaded,
            slots=2,
            chunk=64,
            kv_bytes=None,
            gather=True,
            free=GIB,
            buckets=some,
            taken=Taken(5 << 20, 3 << 20),
        )

    assert planned(()).workspace == 5 << 20
    assert planned(buckets).workspace == (8 << 20) + 2 * GRAPH_BYTES + BATCHES[-1] * one


def test_a_brain_is_planned_by_what_was_read(loaded):
    made, info = building.build(
        loaded, slots=2, chunk=64, kv_bytes=1 << 20, peak=FakePeak(*[10 << 20] * 4)
    )
    assert info.memory.workspace == int((10 << 20) * rehearsal.MARGIN)
    # Nothing of the rehearsal is left.
    assert not made.runner.sequences
    assert not made.runner.embeddings.kept


def test_on_a_cpu_nothing_is_rehearsed(loaded, monkeypatch):
    monkeypatch.setattr(rehearsal, "rehearse", None)
    building.build(loaded, slots=2, chunk=64, kv_bytes=1 << 20)


def test_a_largest_step_that_does_not_fit_is_told(loaded):
    def full(run):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

    with pytest.raises(ModelError, match=r"of 1,073,741,824 bytes .* the largest step needs more"):
        rehearsed(loaded, full)


def test_a_step_of_fixed_shape_that_does_not_fit_leaves_no_room_for_graphs(loaded):
    calls = []

    def full(run):
        calls.append(run)
        if run.__name__ == "fixed":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 1000

    taken = rehearsed(loaded, full, buckets=(Bucket(2, 128),))
    assert taken == Taken(int(1000 * rehearsal.MARGIN), GIB)
    assert len(calls) == 5


def test_with_little_memory_a_shorter_conversation_is_tried(loaded, monkeypatch):
    tried = []
    made = rehearsal.Rehearsal

    def watched(*given, cells, **more):
        tried.append(cells)
        return made(*given, cells=cells, **more)

    monkeypatch.setattr(rehearsal, "Rehearsal", watched)
    one = cell_bytes(loaded.model.config.text_config, torch.float32)
    for free in (GIB, 2000 * one, 1):
        rehearsed(loaded, FakePeak(), free=free)
    assert tried == [2048, 960, 512]


def test_a_gpu_is_asked_for_its_highest_mark(monkeypatch):
    asked = []
    marks = {"memory_reserved": 100, "max_memory_reserved": 350}
    for name in ("empty_cache", "reset_peak_memory_stats", "synchronize", *marks):

        def answer(*given, name=name):
            asked.append(name)
            return marks.get(name)

        monkeypatch.setattr(torch.cuda, name, answer)
    peak = rehearsal.reader(torch.device("cuda:0"))
    assert peak(lambda: asked.append("run")) == 250
    assert asked == [
        "empty_cache",
        "reset_peak_memory_stats",
        "memory_reserved",
        "run",
        "synchronize",
        "max_memory_reserved",
    ]
