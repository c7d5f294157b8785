"""The soak run's judge: each way to go wrong is seen, and what is right is not complained of."""

from __future__ import annotations

import os
import random
import tempfile
import threading
from pathlib import Path

import pytest
import torch

from benchmarking.soak import epoch
from benchmarking.soak.__main__ import main
from benchmarking.soak.checker import REPLACED, Expectation, stand_in
from benchmarking.soak.deaths import Deaths
from benchmarking.soak.epoch import read_an_epoch
from benchmarking.soak.gauges import Gauges, leaks_since
from benchmarking.soak.objects import fingerprint, make_objects
from benchmarking.soak.tally import FAULTS_OF_OURS, Tally
from concurrent_dataloader import DataLoader
from concurrent_dataloader._base.errors import DatasetError, ObjectNotFound
from concurrent_dataloader.dataloader_mod.stats import FailedSample

KEYS = [f"key-{number}" for number in range(6)]
CHECKSUMS = {number: 100 + number for number in range(6)}


def judged(asked, found, on_error="raise", failed=()):
    tally = Tally()
    batch = torch.tensor([[number, CHECKSUMS[number]] if isinstance(number, int) else number for number in found])
    told = [FailedSample(index, KEYS[index], "ObjectNotFound: gone") for index in failed]
    Expectation(KEYS, CHECKSUMS, on_error).check_batch(asked, batch.reshape(-1, 2), told, tally)
    return {kind: tally.counts[kind] for kind in FAULTS_OF_OURS if tally.counts[kind]}


@pytest.mark.parametrize(
    ("asked", "found", "faults"),
    [
        ([2, 0, 2], [2, 0, 2], {}),
        ([2, 0, 1], [2, 1], {"lost": 1}),
        ([2, 0, 1], [2, 0, 1, 1], {"doubled": 1}),
        ([2, 0, 1], [2, 0, 3], {"lost": 1, "doubled": 1}),
        ([2, 0, 1], [0, 2, 1], {"reordered": 1}),
        ([2, 0], [2, [0, 999]], {"wrong": 1}),
    ],
)
def test_a_batch_is_compared_by_number_order_and_bytes(asked, found, faults):
    assert judged(asked, found) == faults


def test_a_skipped_sample_must_have_been_told_of_and_a_told_one_must_be_missing():
    assert judged([1, 2, 3], [1, 3], "skip", failed=[2]) == {}
    assert judged([1, 2, 3], [1, 3], "skip") == {"lost": 1}
    assert judged([1, 2, 3], [3, 1], "skip", failed=[2]) == {"reordered": 1}


def test_a_stand_in_must_have_been_told_of():
    assert judged([1, 2], [1, [2, REPLACED]], stand_in, failed=[2]) == {}
    assert judged([1, 2], [1, [2, REPLACED]], stand_in) == {"untold": 1}
    assert judged([1, 2], [1, 2], stand_in, failed=[2]) == {"untold": 1}


@pytest.mark.parametrize(
    ("error", "is_promised"),
    [
        (ObjectNotFound("s3://soak/key-2 (endpoint http://x): no such object"), True),
        (ObjectNotFound("s3://soak/key-5 (endpoint http://x): no such object"), False),
        (DatasetError("sample 2 (key-2)"), False),
        (ConnectionResetError("key-2 was reset"), False),
    ],
)
def test_an_error_must_be_a_stores_and_name_a_sample_of_its_batch(error, is_promised):
    tally = Tally()
    Expectation(KEYS, CHECKSUMS, "raise").check_error([1, 2], error, tally)
    assert bool(tally.counts["untold"]) is not is_promised


@pytest.mark.parametrize(
    ("error", "on_error", "is_promised"),
    [
        (DatasetError("on_error='skip' left nothing of a batch: the last was sample 2 (key-2)"), "skip", True),
        (DatasetError("3 of the epoch's 2 samples failed; the last was sample 2 (key-2)"), "skip", False),
        (DatasetError("on_error='skip' left nothing of a batch: the last was sample 2 (key-2)"), stand_in, False),
    ],
)
def test_where_failures_are_borne_no_error_is_promised_but_that_of_a_batch_of_which_nothing_is_left(
    error, on_error, is_promised
):
    tally = Tally()
    Expectation(KEYS, CHECKSUMS, on_error).check_error([1, 2], error, tally)
    assert bool(tally.counts["untold"]) is not is_promised


KILLED = "DataLoader worker (pid(s) 77) exited unexpectedly"


@pytest.mark.parametrize(
    ("error", "is_a_death", "is_promised"),
    [
        (RuntimeError(f"{KILLED}. It was fetching samples 1 (key-1), 2 (key-2)."), True, True),
        (RuntimeError("DataLoader worker (pid 77) is killed by signal: Killed."), True, True),  # it owed nothing
        (RuntimeError(f"{KILLED}. It was fetching samples 4 (key-4)."), True, False),  # which has come already
        (RuntimeError(f"{KILLED}. It was fetching samples 1 (key-2)."), True, False),
        (RuntimeError("DataLoader worker (pid(s) 77, 78) exited unexpectedly"), True, False),  # nobody has killed 78
        (RuntimeError("key-1 is gone"), False, True),
        (ConnectionResetError("by peer"), False, True),
    ],
)
def test_a_death_must_be_told_with_the_pid_of_a_victim_and_samples_that_have_not_come(error, is_a_death, is_promised):
    tally = Tally()
    deaths = Deaths(KEYS, tally)
    deaths._victims.append(77)
    assert deaths.is_told_by(error, [[0, 1], [2, 3]]) is is_a_death
    assert bool(tally.counts["untold"]) is not is_promised
    assert not Deaths(KEYS, tally).is_told_by(RuntimeError(KILLED), [[0]])  # nobody was killed


def test_segments_of_the_killed_are_removed_and_counted_and_those_of_others_are_not(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarking.soak.deaths.SHARED_MEMORY", str(tmp_path))
    tally = Tally()
    deaths = Deaths(KEYS, tally)
    deaths._victims.append(77)
    for name in ("torch_77_1_0", "torch_78_1_0", "torch_777_1_0"):
        (tmp_path / name).touch()
    deaths.remove_segments()
    assert sorted(os.listdir(tmp_path)) == ["torch_777_1_0", "torch_78_1_0"]
    assert tally.counts["left_by_killed"] == 1


class Waits(torch.utils.data.Dataset):
    """Its samples from the second on come only from a worker that finds the gate open."""

    def __init__(self, gate: Path) -> None:
        self._gate = gate

    def __len__(self) -> int:
        return len(KEYS)

    def describe(self, index: int) -> str:
        return KEYS[index]

    def fetch(self, index: int) -> int:
        while index >= 2 and not self._gate.exists():
            threading.Event().wait(0.01)
        return index

    def process(self, index: int, raw: int) -> torch.Tensor:
        return torch.tensor([raw, CHECKSUMS[raw]])

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.process(index, self.fetch(index))


def test_after_a_death_the_rest_is_what_has_not_come_and_a_fresh_iteration_gives_it(tmp_path, monkeypatch):
    class Draw(random.Random):
        """No break, and a kill before the second batch."""

        def random(self):
            return 1.0 - kills

        def randrange(self, *bounds):
            return 1

    monkeypatch.setattr(epoch, "_BREAKS", 0.0)
    sampler, tally, kills = [0, 1, 2, 5, 4, 4], Tally(), 1.0
    loader = DataLoader(Waits(tmp_path / "gate"), 2, sampler=sampler, num_workers=1, prefetch_factor=1)
    expectation, deaths = Expectation(KEYS, CHECKSUMS, "raise"), Deaths(KEYS, tally)
    rest = read_an_epoch(loader, list(sampler), expectation, deaths, Draw(0), tally)
    assert rest == [2, 5, 4, 4]
    assert (tally.counts["samples"], tally.counts["kills"], tally.counts["epochs"]) == (2, 1, 0)
    assert tally.errors == {"killed worker that owed": 1}
    (tmp_path / "gate").touch()
    sampler[:], kills = rest, 0.0
    assert read_an_epoch(loader, list(sampler), expectation, deaths, Draw(0), tally) == []
    assert (tally.counts["samples"], tally.counts["epochs"], tally.is_clean) == (6, 1, True)


@pytest.mark.parametrize("killed", [True, False])
def test_a_death_told_by_a_new_iteration_of_persistent_workers_leaves_all_to_be_read(tmp_path, monkeypatch, killed):
    monkeypatch.setattr(epoch, "_BREAKS", 0.0)
    monkeypatch.setattr(epoch, "_KILLS", 0.0)
    (tmp_path / "gate").touch()
    sampler, tally = [0, 1, 2], Tally()
    loader = DataLoader(Waits(tmp_path / "gate"), 1, sampler=sampler, num_workers=1, persistent_workers=True)
    expectation, deaths, draw = Expectation(KEYS, CHECKSUMS, "raise"), Deaths(KEYS, tally), random.Random(0)
    assert read_an_epoch(loader, sampler, expectation, deaths, draw, tally) == []
    deaths.kill_a_worker(draw)
    if not killed:  # by the soak, as far as its judge knows
        deaths._victims.clear()
        with pytest.raises(RuntimeError, match="is killed by signal"):
            read_an_epoch(loader, sampler, expectation, deaths, draw, tally)
        return
    assert read_an_epoch(loader, sampler, expectation, deaths, draw, tally) == sampler
    assert tally.is_clean
    assert tally.errors == {"killed worker that owed nothing": 1}


def test_nothing_read_is_not_clean():
    tally = Tally()
    assert not tally.is_clean
    tally.counts["samples"] = 1
    assert tally.is_clean
    tally.complain("hung", "a voyage")
    assert not tally.is_clean
    assert "hung = 1" in tally.report({}, {})


def test_a_fingerprint_changes_with_any_byte():
    _, bodies = make_objects(5, seed=1)
    body = next(iter(bodies.values()))
    for at in (0, len(body) // 2, len(body) - 1):
        changed = bytearray(body)
        changed[at] ^= 1
        assert not torch.equal(fingerprint(bytes(changed)), fingerprint(body))


def test_gauges_show_threads_descriptors_temporary_files_and_children(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before, end = Gauges.read(), threading.Event()
    thread = threading.Thread(target=end.wait, name="left-over")
    thread.start()
    out, into = os.pipe()
    (tmp_path / "litter").touch()
    child = os.posix_spawn("/bin/cat", ["cat"], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, out, 0)])
    leaks = leaks_since(before, timeout_s=0)
    os.close(into)
    os.close(out)
    os.waitpid(child, 0)
    (tmp_path / "litter").unlink()
    end.set()
    thread.join()
    kinds = [leak.partition(":")[0] for leak in leaks]
    assert kinds == ["threads", "children", "descriptors", "descriptors", "temporary_files"]
    assert leaks_since(before) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_short_soak_is_clean(capsys):
    assert main(["--minutes", "1", "--seed", "5"]) == 0
    assert "lost = 0 doubled = 0 reordered = 0 wrong = 0 untold = 0 leaked = 0 hung = 0" in capsys.readouterr().out


def test_a_senseless_duration_is_refused(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--minutes", "0"])
    assert caught.value.code == 2
    assert "--minutes: expected a positive number" in capsys.readouterr().err
