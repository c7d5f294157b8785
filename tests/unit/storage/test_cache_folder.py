"""Whose folder the cache takes, and what it does when the disk is full."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import stat
from pathlib import Path

import pytest
from counting_store import CountingStore, cached, entry_files, entry_of, raise_error

from concurrent_dataloader._base.errors import MissingFileError, OptionError
from concurrent_dataloader.storage import cache_disk, cache_entry, cache_ledger
from concurrent_dataloader.storage.cache import cache_stats, clear_cache
from concurrent_dataloader.storage.cache_folder import INCOMING_NAME, LEDGER_NAME


class TestFolder:
    def test_folders_are_0700_and_files_0600_whatever_the_umask(self, folder: Path) -> None:
        before = os.umask(0)
        try:
            cached(CountingStore({"a": b"alpha"}), folder).get("a")
        finally:
            os.umask(before)
        modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in (folder, *folder.rglob("*"))}
        assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
        assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}

    def test_an_empty_folder_is_taken_and_closed_to_others(self, folder: Path) -> None:
        folder.mkdir(mode=0o755)
        cached(CountingStore(), folder)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    @pytest.mark.parametrize("key", ["../../evil", "/etc/passwd", "a/../../b", "..", "", "nul\0", "\udcff", "x" * 5000])
    def test_no_key_leaves_the_folder(self, folder: Path, tmp_path: Path, key: str) -> None:
        store = cached(CountingStore({key: b"body"}), folder)
        assert [store.get(key), store.get(key)] == [b"body"] * 2
        assert [path.name for path in tmp_path.iterdir()] == ["cache"]
        assert len(entry_files(folder)) == 1

    def test_a_symbolic_link_in_place_of_an_entry_is_not_followed(self, folder: Path, tmp_path: Path) -> None:
        store = cached(CountingStore({"a": b"alpha"}), folder)
        store.get("a")
        os.replace(entry_of(folder, "a"), tmp_path / "outside")
        before = (tmp_path / "outside").read_bytes()
        entry_of(folder, "a").symlink_to(tmp_path / "outside")
        store._store.objects["a"] = b"other"
        assert store.get("a") == b"other"
        assert (tmp_path / "outside").read_bytes() == before

    @pytest.mark.parametrize("name", ["00", INCOMING_NAME, LEDGER_NAME])
    def test_a_link_in_place_of_a_part_of_the_cache_is_refused(self, folder: Path, tmp_path: Path, name: str) -> None:
        cached(CountingStore({"a": b"alpha"}), folder).get("a")
        (tmp_path / "outside").mkdir()
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(tmp_path / "outside")
        with pytest.raises(OptionError, match=f"holds '{name}', which is a link"):
            cached(CountingStore(), folder)

    @pytest.mark.parametrize("name", [INCOMING_NAME, LEDGER_NAME])
    def test_a_second_name_of_a_file_elsewhere_is_refused_and_left_alone(
        self, folder: Path, tmp_path: Path, name: str
    ) -> None:
        cached(CountingStore({"a": b"alpha"}), folder).get("a")
        (tmp_path / "precious").write_bytes(b"precious")
        (folder / name).unlink(missing_ok=True)
        os.link(tmp_path / "precious", folder / name)
        with pytest.raises(OptionError, match=f"holds '{name}', which is a link"):
            cached(CountingStore(), folder)
        assert (tmp_path / "precious").read_bytes() == b"precious"

    def test_an_entry_is_never_written_through_another_name_of_a_file(self, folder: Path, tmp_path: Path) -> None:
        store = cached(CountingStore({"a": b"alpha"}), folder)
        (tmp_path / "precious").write_bytes(b"precious")
        os.link(tmp_path / "precious", folder / INCOMING_NAME)  # while the cache is in use
        assert [store.get("a"), store.get("a")] == [b"alpha", b"alpha"]
        assert (tmp_path / "precious").read_bytes() == b"precious"
        assert len(entry_files(folder)) == 1

    def test_names_and_entries_show_no_key_and_no_store(self, folder: Path) -> None:
        cached(CountingStore({"secret-key": b"body"}, "fake://secret-bucket"), folder).get("secret-key")
        for path in folder.rglob("*"):
            assert "secret" not in str(path.relative_to(folder))
            assert path.is_dir() or b"secret" not in path.read_bytes()

    def test_a_folder_of_another_user_is_refused(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder.mkdir()
        monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
        with pytest.raises(OptionError, match="belongs to another user"):
            cached(CountingStore(), folder)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
    @pytest.mark.parametrize("name", ["00", INCOMING_NAME, LEDGER_NAME])
    def test_what_another_user_put_into_a_folder_that_was_open_is_refused(self, folder: Path, name: str) -> None:
        cached(CountingStore({"a": b"alpha"}), folder).get("a")
        (folder / "00").mkdir(exist_ok=True)
        (folder / INCOMING_NAME).write_bytes(b"")
        os.chown(folder / name, 65534, -1)
        with pytest.raises(OptionError, match=f"holds '{name}' of another user"):
            cached(CountingStore(), folder)

    def test_a_link_that_another_user_planted_is_refused(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "target").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "target")
        if os.geteuid() == 0:
            os.lchown(tmp_path / "link", 65534, -1)
        else:
            monkeypatch.setattr(os, "geteuid", lambda: folder.parent.stat().st_uid + 1)
        for path in (tmp_path / "link", tmp_path / "link" / "below"):
            with pytest.raises(OptionError, match="symbolic link"):
                cached(CountingStore(), path)

    def test_a_link_of_ones_own_is_followed(self, tmp_path: Path) -> None:
        (tmp_path / "target").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "target")
        cached(CountingStore({"a": b"alpha"}), tmp_path / "link").get("a")
        assert len(entry_files(tmp_path / "target")) == 1

    def test_a_folder_with_other_files_is_refused_and_left_alone(self, folder: Path) -> None:
        folder.mkdir(mode=0o755)
        (folder / "thesis.tex").write_text("dear")
        with pytest.raises(OptionError, match=r"thesis\.tex"):
            cached(CountingStore(), folder)
        with pytest.raises(MissingFileError):
            clear_cache(folder)
        assert (folder / "thesis.tex").read_text() == "dear"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o755

    def test_a_cache_that_others_could_write_is_refused(self, folder: Path) -> None:
        cached(CountingStore(), folder)
        folder.chmod(0o777)
        with pytest.raises(OptionError, match="written by other users"):
            cached(CountingStore(), folder)

    def test_a_file_in_place_of_the_folder_is_refused(self, folder: Path) -> None:
        folder.write_text("a file")
        with pytest.raises(OptionError, match="cannot be used as a folder"):
            cached(CountingStore(), folder)

    @pytest.mark.parametrize("max_bytes", [0, -1, 1.5, True, "1", None, 2**63])
    def test_a_bound_that_is_no_number_of_bytes_is_refused(self, folder: Path, max_bytes: object) -> None:
        with pytest.raises(OptionError, match="max_bytes"):
            cached(CountingStore(), folder, max_bytes)  # type: ignore[arg-type]
        assert not folder.exists()

    def test_a_system_without_file_locks_is_refused(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cache_ledger, "fcntl", None)
        with pytest.raises(OptionError, match="POSIX"):
            cached(CountingStore(), folder)


class TestFullDisk:
    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
    def test_a_disk_that_refuses_a_write_is_gone_without_and_mentioned_once(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
    ) -> None:
        inner = CountingStore({str(i): bytes(100) for i in range(10)})
        store = cached(inner, folder)
        store.get("0")
        real_write, writes = os.write, []

        def half_a_write(fd: int, data: bytes) -> int:
            writes.append(real_write(fd, bytes(data)[:50]))
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(cache_entry.os, "write", half_a_write)
        for _ in range(2):
            for key in inner.objects:
                assert store.get(key) == bytes(100)
        monkeypatch.undo()
        assert len(writes) == 1  # having been refused, it does not ask again for a while
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        assert os.strerror(number) in caplog.text
        assert inner.asked["get"] == 1 + 2 * 9  # what was there before is still read
        assert not (folder / INCOMING_NAME).exists()
        assert cache_stats(folder).entries == 1

    def test_it_writes_again_when_the_disk_has_had_time_to_be_emptied(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(cache_disk, "_RETRY_S", 0.0)
        store = cached(CountingStore({"a": b"alpha"}), folder)
        with monkeypatch.context() as patch:
            patch.setattr(cache_disk, "write_incoming", raise_error(errno.ENOSPC))
            for _ in range(3):
                store.get("a")
        assert len(caplog.records) == 1
        store.get("a")
        assert cache_stats(folder).entries == 1

    def test_a_read_only_disk_without_the_folder_is_gone_without(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(os, "makedirs", raise_error(errno.EROFS))
        store = cached(CountingStore({"a": b"alpha"}), folder)
        assert [store.get("a"), asyncio.run(store.aget("a"))] == [b"alpha"] * 2
        store.put("a", b"new")
        assert store.get("a") == b"new"
        assert len(caplog.records) == 1

    def test_an_entry_that_cannot_be_read_is_fetched(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        store = cached(CountingStore({"a": b"alpha"}), folder)
        store.get("a")
        monkeypatch.setattr(cache_entry.os, "read", raise_error(errno.EIO))
        assert [store.get("a") for _ in range(3)] == [b"alpha"] * 3
        assert len(caplog.records) == 1
