"""A folder of a worker that could not remove it is removed, and no other."""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing import current_process, util

import pytest

from concurrent_dataloader.dataloader_mod.worker_folders import WorkerFolders

METHODS = multiprocessing.get_all_start_methods()


@pytest.fixture(autouse=True)
def no_folder_yet(monkeypatch, tmp_path):
    """Whatever ran before in this process: workers would share its folder."""
    monkeypatch.delitem(current_process()._config, "tempdir", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def make_and_be_killed(folders, worker_id):
    folders.make(worker_id)
    os.kill(os.getpid(), signal.SIGKILL)


def make_and_end(folders, worker_id, connection):
    folders.make(worker_id)
    connection.send((util.get_temp_dir(), os.stat(util.get_temp_dir()).st_mode & 0o777))


def _run(context, folders, target, *args):
    worker = context.Process(target=target, args=(folders, 0, *args))
    worker.start()
    worker.join()
    worker.close()


@pytest.mark.parametrize("method", METHODS)
def test_the_folder_of_a_killed_worker_is_removed(method, tmp_path):
    folders = WorkerFolders(1)
    (tmp_path / "pymp-of-another").mkdir()
    _run(multiprocessing.get_context(method), folders, make_and_be_killed)
    (left,) = folders._paths
    assert os.path.dirname(left) == str(tmp_path)
    assert os.path.isdir(left)
    folders.remove()
    assert not os.path.exists(left)
    assert (tmp_path / "pymp-of-another").exists()


@pytest.mark.parametrize("method", METHODS)
def test_a_worker_that_ends_removes_its_folder_which_is_the_one_that_multiprocessing_uses(method):
    folders = WorkerFolders(1)
    reader, writer = multiprocessing.Pipe(duplex=False)
    with reader, writer:
        _run(multiprocessing.get_context(method), folders, make_and_end, writer)
        assert reader.recv() == (folders._paths[0], 0o700)
    assert not os.path.exists(folders._paths[0])


def test_a_folder_that_workers_share_with_the_main_process_is_left_to_it(tmp_path):
    shared = util.get_temp_dir()
    folders = WorkerFolders(1)
    _run(multiprocessing.get_context("fork"), folders, make_and_be_killed)
    folders.remove()
    assert os.listdir(tmp_path) == [os.path.basename(shared)]


def test_where_no_folder_can_be_made_multiprocessing_is_left_to_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    folders = WorkerFolders(1)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    reader, writer = multiprocessing.Pipe(duplex=False)
    with reader, writer:
        _run(multiprocessing.get_context("fork"), folders, make_and_end, writer)
        assert os.path.dirname(reader.recv()[0]) == str(tmp_path)
    folders.remove()
    assert os.listdir(tmp_path) == []
