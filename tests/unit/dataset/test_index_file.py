from __future__ import annotations

import gzip
import json
import logging
import os
import pickle
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from concurrent_dataloader._base.errors import IndexFileError, MissingFileError
from concurrent_dataloader.dataset import index_file, json_keys
from concurrent_dataloader.dataset.index_file import load_index, write_index

SOME_KEYS = [
    "scratch/imagenet/train/n01440764/n01440764_10026.JPEG",
    "ä b/ü.png",
    'quote"d\\',
    "😀",
    "a",
    "a",
    ',"',
    "[x]",
]
NON_EMPTY = st.text(st.characters(), min_size=1)


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index.json"


def refusal_of(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(IndexFileError) as caught:
        load_index(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


class TestReading:
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        keys=st.lists(NON_EMPTY, min_size=1),
        indent=st.sampled_from([None, 0, 2]),
        ascii_only=st.booleans(),
        piece=st.integers(1, 200),
    )
    def test_a_json_list_is_read_as_json_reads_it(
        self, path: Path, keys: list[str], indent: int | None, ascii_only: bool, piece: int
    ) -> None:
        if not ascii_only:
            keys = [key.encode("utf-8", "replace").decode() for key in keys]
        text = json.dumps(keys, indent=indent, ensure_ascii=ascii_only).encode()
        path.write_bytes(text)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(json_keys, "_READ_BYTES", piece)  # so that pieces end everywhere
            assert list(load_index(path)) == json.loads(text)

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(keys=st.lists(NON_EMPTY, min_size=1), piece=st.integers(2, 200))
    def test_lines_of_json_are_read(self, path: Path, keys: list[str], piece: int) -> None:
        path.write_text("\n" + "\n".join(map(json.dumps, keys)))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(json_keys, "_READ_BYTES", piece)
            assert list(load_index(path)) == keys

    def test_a_file_of_one_line_is_one_key(self, path: Path) -> None:
        path.write_text('"a/b"')
        assert list(load_index(path)) == ["a/b"]

    def test_a_byte_order_mark_and_blanks_are_passed_over(self, path: Path) -> None:
        path.write_bytes(b'\xef\xbb\xbf \r\n\t[ "a" ,\r\n "b" ]\n ')
        assert list(load_index(str(path))) == ["a", "b"]

    @pytest.mark.parametrize("text", [json.dumps(SOME_KEYS), "\n".join(map(json.dumps, SOME_KEYS))])
    def test_a_gzipped_file_is_read_whatever_its_name(self, path: Path, text: str) -> None:
        path.write_bytes(gzip.compress(text.encode()))
        assert list(load_index(path)) == SOME_KEYS


class TestRefusing:
    def test_a_missing_file(self, path: Path) -> None:
        with pytest.raises(MissingFileError, match=str(path)):
            load_index(path)

    @pytest.mark.parametrize("content", [b"[]", b" [ \n ] "])
    def test_an_empty_list(self, path: Path, content: bytes) -> None:
        assert "is an empty list" in refusal_of(path, content)

    @pytest.mark.parametrize("content", [b"", b" \n", b"\xef\xbb\xbf"])
    def test_an_empty_file(self, path: Path, content: bytes) -> None:
        assert "is empty; expected a JSON list of keys" in refusal_of(path, content)

    @pytest.mark.parametrize(
        ("content", "kind"), [(b'{"a": 1}', "object"), (b"12", "number"), (b"null", "null"), (b" true", "boolean")]
    )
    def test_json_that_is_no_list(self, path: Path, content: bytes, kind: str) -> None:
        assert f"holds JSON of type {kind}; expected a JSON list" in refusal_of(path, content)

    @pytest.mark.parametrize(
        ("entry", "kind"),
        [
            ("3", "number"),
            ("-3.5", "number"),
            ("null", "null"),
            ("true", "boolean"),
            ('{"key": 1}', "object"),
            ("[]", "list"),
        ],
    )
    @pytest.mark.parametrize("after", [', "c"]', "]", ""])
    def test_an_entry_that_is_no_string_is_numbered(self, path: Path, entry: str, kind: str, after: str) -> None:
        message = refusal_of(path, f'["a", "b", {entry}{after}'.encode())
        assert f"entry 2 (counted from 0) is of type {kind}; expected" in message

    def test_an_empty_key_is_numbered(self, path: Path) -> None:
        assert "entry 1 (counted from 0) is an empty string" in refusal_of(path, b'["a", ""]')

    @pytest.mark.parametrize(
        ("content", "byte", "reason"),
        [
            (b"n01440764_1.JPEG\n", 0, ""),
            ("ä".encode(), 0, ""),
            (b'["a", "b"', 9, "no ',' or ']' after an entry"),
            (b'["a", "b', 6, "this is no entry"),
            (b'["a", ', 6, "the list is not closed"),
            (b'["a", ]', 6, "this is no entry"),
            (b'["a" "b"]', 5, "no ',' or ']' after an entry"),
            (b'["a", b]', 6, "this is no entry"),
            (b'["a"] x', 6, "text after the list"),
            (b'["a"]]', 5, "text after the list"),
            (b'["\xc3\xa4", "b\xff", "c"]', 9, "no UTF-8"),
            (b'["\xc3\xa4", "b\\x"]', 9, "Invalid \\escape"),
            (b'["a", "b\nc", "d"]', 8, "Invalid control character"),
            (b"['a']", 1, "this is no entry"),
        ],
    )
    def test_what_is_not_json_names_the_byte(self, path: Path, content: bytes, byte: int, reason: str) -> None:
        message = refusal_of(path, content)
        assert f"is not JSON at byte {byte}" in message
        assert reason in message

    def test_the_byte_is_counted_from_the_start_of_the_file(self, path: Path) -> None:
        keys = json.dumps(["x" * 1000] * 3000)[:-1].encode()
        assert f"is not JSON at byte {len(keys) + 2}" in refusal_of(path, keys + b', oops, "a"]')
        assert "entry 3000 (counted from 0) is of type number" in refusal_of(path, keys + b', 7, "a"]')

    def test_a_string_that_never_ends_is_refused_before_the_end_of_the_file(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(json_keys, "_READ_BYTES", 1 << 17)
        assert "is not JSON at byte 6" in refusal_of(path, b'["a", "' + b"x" * (1 << 20))

    @pytest.mark.parametrize("line", [b"3", b"a", b'"a', b'{"key": "a"}', b'"a" "b"', b'"a", "b"', b'"\xff"'])
    def test_a_bad_line_is_numbered(self, path: Path, line: bytes) -> None:
        assert "line 4 is not one key in double quotes" in refusal_of(path, b'\n"a"\n"b"\n' + line + b'\n"c"')

    def test_a_damaged_gzip_file(self, path: Path) -> None:
        whole = gzip.compress(json.dumps(SOME_KEYS * 100).encode())
        assert "damaged gzip" in refusal_of(path, whole[:-20])
        assert "damaged gzip" in refusal_of(path, whole[:-6] + bytes(6))


class TestPackedCopy:
    @pytest.fixture
    def big(self, path: Path) -> Path:
        write_index(path, (f"train/{number}.JPEG" for number in range(20_000)), "a test")
        assert path.stat().st_size > index_file.PACKED_COPY_FROM_BYTES
        return path

    @pytest.fixture
    def parsed(self, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
        """The files that were parsed rather than mapped."""
        calls: list[Path] = []
        monkeypatch.setattr(
            index_file, "read_keys", lambda file, path: (calls.append(path), json_keys.read_keys(file, path))[1]
        )
        return calls

    def test_a_small_index_has_none(self, path: Path) -> None:
        write_index(path, SOME_KEYS, "a test")
        assert list(load_index(path)) == SOME_KEYS
        assert list(path.parent.iterdir()) == [path]

    def test_the_second_start_maps_it(self, big: Path, parsed: list[Path]) -> None:
        first, second = load_index(big), load_index(big)
        assert parsed == [big]
        assert list(first) == list(second) == [f"train/{number}.JPEG" for number in range(20_000)]
        assert len(pickle.dumps(second)) < 500

    def test_nothing_else_is_left_behind(self, big: Path, cache_folder: Path) -> None:
        load_index(big)
        assert sorted(each.name for each in big.parent.iterdir()) == ["index.json", "index.json.packed"]

    def test_it_is_as_readable_as_the_index(self, big: Path) -> None:
        big.chmod(0o640)
        load_index(big)
        assert (big.parent / "index.json.packed").stat().st_mode & 0o777 == 0o640

    def test_a_changed_index_is_parsed_again(self, big: Path, parsed: list[Path]) -> None:
        load_index(big)
        big.write_text(big.read_text().replace("train", "valid"))
        assert load_index(big)[0] == "valid/0.JPEG"
        assert load_index(big)[-1] == "valid/19999.JPEG"
        assert len(parsed) == 2

    def test_a_changed_index_of_the_same_size_and_time_is_parsed_again(self, big: Path) -> None:
        load_index(big)
        status = big.stat()
        big.write_text(big.read_text().replace("train", "valid"))
        os.utime(big, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert load_index(big)[0] == "valid/0.JPEG"

    def test_a_damaged_copy_is_made_again(self, big: Path, parsed: list[Path]) -> None:
        load_index(big)
        copy = big.parent / "index.json.packed"
        block = bytearray(copy.read_bytes())
        block[1000] ^= 1
        copy.write_bytes(block)
        assert list(load_index(big))[500:502] == ["train/500.JPEG", "train/501.JPEG"]
        load_index(big)
        assert len(parsed) == 2

    def test_an_open_index_keeps_its_keys_when_the_file_changes(self, big: Path) -> None:
        index = load_index(big)
        big.write_text(big.read_text().replace("train", "valid"))
        load_index(big)
        assert index[7] == pickle.loads(pickle.dumps(index))[7] == "train/7.JPEG"

    def test_the_cache_folder_serves_where_the_index_cannot_be_written_beside(
        self, big: Path, cache_folder: Path, parsed: list[Path]
    ) -> None:
        (big.parent / "index.json.packed").mkdir()  # stands for a read-only folder, which root could write to
        load_index(big)
        assert load_index(big)[3] == "train/3.JPEG"
        assert parsed == [big]
        assert len(list((cache_folder / "concurrent_dataloader" / "index").iterdir())) == 1

    def test_without_any_place_for_it_the_keys_stay_in_memory_and_that_is_said(
        self, big: Path, cache_folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (big.parent / "index.json.packed").mkdir()
        cache_folder.write_text("no folder")
        with caplog.at_level(logging.WARNING):
            index = load_index(big)
        assert "no packed copy" in caplog.text
        assert pickle.loads(pickle.dumps(index))[19_999] == "train/19999.JPEG"

    def test_a_bad_large_index_leaves_no_copy(self, big: Path) -> None:
        big.write_text(big.read_text().rstrip("]\n"))
        with pytest.raises(IndexFileError, match="no ',' or ']' after an entry"):
            load_index(big)
        assert list(big.parent.iterdir()) == [big]


class TestWriting:
    @pytest.mark.parametrize("name", ["index.json", "index.json.gz", "new/folder/index.json"])
    def test_what_was_written_is_read(self, tmp_path: Path, name: str) -> None:
        assert write_index(tmp_path / name, iter(SOME_KEYS), "a test") == len(SOME_KEYS)
        assert list(load_index(tmp_path / name)) == SOME_KEYS
        raw = (tmp_path / name).read_bytes()
        assert json.loads(gzip.decompress(raw) if name.endswith("gz") else raw) == SOME_KEYS

    def test_no_keys_write_nothing(self, path: Path) -> None:
        with pytest.raises(MissingFileError, match="nothing in s3://bucket/ matches"):
            write_index(path, [], "s3://bucket/")
        assert list(path.parent.iterdir()) == []

    @pytest.mark.parametrize("name", ["index.json", "index.json.gz"])
    def test_an_interrupted_listing_leaves_the_old_index(self, tmp_path: Path, name: str) -> None:
        def listing():  # type: ignore[no-untyped-def]
            yield "new"
            raise KeyboardInterrupt

        write_index(tmp_path / name, ["old"], "a test")
        with pytest.raises(KeyboardInterrupt):
            write_index(tmp_path / name, listing(), "a test")
        assert list(load_index(tmp_path / name)) == ["old"]
        assert len(list(tmp_path.iterdir())) == 1

    def test_a_new_index_has_the_mode_of_any_new_file(self, path: Path) -> None:
        write_index(path, ["a"], "a test")
        other = path.with_name("other")
        other.touch()
        assert path.stat().st_mode == other.stat().st_mode
