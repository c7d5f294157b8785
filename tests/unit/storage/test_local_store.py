from __future__ import annotations

import os
from pathlib import Path

import pytest
from store_contract import StoreContract

from concurrent_dataloader._base.errors import AccessDenied, ObjectNotFound, StorageError
from concurrent_dataloader.storage import LocalStore, ObjectInfo


class TestLocalStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> LocalStore:
        return LocalStore(tmp_path)


@pytest.mark.parametrize("key", ["/etc/hostname", "../beside", "a/../../beside", "a/..", ".."])
def test_keys_that_leave_the_root_are_refused(tmp_path: Path, key: str) -> None:
    (tmp_path / "beside").write_bytes(b"not yours")
    store = LocalStore(tmp_path / "root")
    for use in (store.get, store.head, lambda key: store.put(key, b""), lambda key: list(store.list(f"{key}/"))):
        with pytest.raises(AccessDenied, match="leaves the store's folder"):
            use(key)
    assert (tmp_path / "beside").read_bytes() == b"not yours"


def test_two_dots_inside_a_name_are_fine(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("a..b/..c", b"body")
    assert store.get("a..b/..c") == b"body"


def test_without_a_root_keys_lie_below_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"body")
    monkeypatch.chdir(tmp_path)
    store = LocalStore()
    monkeypatch.chdir("/")
    assert store.get("file") == b"body"
    assert store.root == tmp_path


def test_a_folder_is_no_object(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("folder/file", b"body")
    for key in ("folder", "folder/", "", "folder/file/", "folder/file/below", "null\0byte"):
        for read in (store.get, store.head):
            with pytest.raises(ObjectNotFound):
                read(key)


def test_put_below_a_file_or_onto_a_folder_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("folder/file", b"body")
    for key in ("folder", "folder/", "folder/file/below"):
        with pytest.raises(StorageError):
            store.put(key, b"other")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]


def test_a_put_that_fails_half_way_leaves_the_old_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path)
    store.put("file", b"old")

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(StorageError, match="No space left"):
        store.put("file", b"new")
    assert store.get("file") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_put_obeys_the_umask(tmp_path: Path) -> None:
    LocalStore(tmp_path).put("file", b"body")
    (tmp_path / "plain").write_bytes(b"body")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_listing_leaves_out_what_a_killed_put_left(tmp_path: Path) -> None:
    (tmp_path / ".0123.partial-put").write_bytes(b"half")
    assert list(LocalStore(tmp_path).list()) == []


def test_listing_a_root_that_is_missing_is_an_error(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "missing")
    with pytest.raises(ObjectNotFound, match="missing"):
        list(store.list())


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "root")
    store.put("a/file", b"12")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "image").write_bytes(b"123")
    (tmp_path / "root" / "linked").symlink_to(elsewhere)
    (tmp_path / "root" / "a" / "up").symlink_to(tmp_path / "root" / "a")
    (elsewhere / "other").symlink_to(tmp_path / "root" / "a")
    (tmp_path / "root" / "a" / "there").symlink_to(elsewhere)
    (tmp_path / "root" / "broken").symlink_to(tmp_path / "nowhere")
    listed = list(store.list())
    assert ObjectInfo("linked/image", 3) in listed
    assert ObjectInfo("a/there/image", 3) in listed
    assert [each.key for each in listed] == sorted({each.key for each in listed})
    assert store.get("linked/image") == b"123"


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_access_denied(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("file", b"body")
    (tmp_path / "file").chmod(0)
    with pytest.raises(AccessDenied, match="file"):
        store.get("file")
