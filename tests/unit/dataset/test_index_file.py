from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from concurrent_dataloader._base.errors import IndexFileError, MissingFileError
from concurrent_dataloader.dataset import index_file, json_keys, json_lines
from concurrent_dataloader.dataset.index_file import load_index
from concurrent_dataloader.dataset.key_batch import KeyBatch

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
# What can name an object or a file: no NUL, and of lone surrogates those alone that stand for a byte that is no UTF-8.
NON_EMPTY = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"])
    | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF, categories=["Cs"]),
    min_size=1,
)


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
            patch.setattr(json_lines, "_READ_BYTES", piece)
            assert list(load_index(path)) == keys

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        entries=st.lists(st.tuples(NON_EMPTY, st.none() | st.integers(0, 2**63 - 1)), min_size=1),
        piece=st.integers(1, 200),
        end=st.sampled_from(["", "\n", "\r\n", "\n\n "]),
    )
    def test_lines_may_have_sizes(
        self, path: Path, entries: list[tuple[str, int | None]], piece: int, end: str
    ) -> None:
        path.write_text("\n".join(json.dumps({"key": key, "size": size}) for key, size in entries) + end)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(json_lines, "_READ_BYTES", piece)
            index = load_index(path)
        assert [(key, index.size_of(at)) for at, key in enumerate(index)] == entries

    def test_lines_with_and_without_sizes_may_stand_together(self, path: Path) -> None:
        path.write_text('{"size": 0, "key": "a"}\r\n"b"\r\n\r\n{"key": "c", "etag": "x"}\r\n{"key": "d", "size": 7}')
        index = load_index(path)
        assert list(index) == ["a", "b", "c", "d"]
        assert [index.size_of(at) for at in range(4)] == [0, None, None, 7]

    def test_the_name_of_a_local_file_that_is_no_utf8_comes_back(self, path: Path) -> None:
        name = os.fsdecode(b"caf\xe9.jpeg")
        path.write_text(json.dumps([name]))
        assert os.fsencode(load_index(path)[0]) == b"caf\xe9.jpeg"

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
    def test_a_file_that_is_written_to_while_it_is_read(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def read_keys(file: BinaryIO, name: Path) -> Iterator[KeyBatch]:
            yield from json_keys.read_keys(file, name)
            with path.open("a") as writer:
                writer.write("\n")

        monkeypatch.setattr(index_file, "read_keys", read_keys)
        assert "was written to while it was read" in refusal_of(path, b'["a", "b"]')

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
        ("key", "fault"),
        [
            ("", "is an empty string"),
            ("a\0b", r"is 'a\x00b'; expected a key without NUL"),
            ("a\ud800", r"is 'a\ud800'; expected a key without half characters"),
            ("x" * 12_289, "has 12289 bytes"),
            ("ä" * 6145, "has 12290 bytes"),
        ],
        ids=["empty", "NUL", "surrogate", "long", "long in UTF-8"],
    )
    @pytest.mark.parametrize("form", ["list", "lines", "objects"])
    def test_a_string_that_can_name_nothing_is_numbered(self, path: Path, key: str, fault: str, form: str) -> None:
        keys = ["a", "b", key, ""]
        objects = "\n".join(json.dumps({"key": each}) for each in keys)
        text = {"list": json.dumps(keys), "lines": "\n".join(map(json.dumps, keys)), "objects": objects}[form]
        assert f"entry 2 (counted from 0) {fault}" in refusal_of(path, text.encode())

    def test_a_key_of_the_greatest_length_is_read(self, path: Path) -> None:
        keys = ["\x01" * 12_288, "😀" * 3072]
        path.write_text(json.dumps(keys))
        assert list(load_index(path)) == keys

    @pytest.mark.parametrize("after", ['", "a"]', '"]', ""])
    def test_an_entry_of_a_megabyte_is_refused(self, path: Path, after: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(json_keys, "_READ_BYTES", 1 << 17)
        assert "is not JSON at byte 6: a string" in refusal_of(path, b'["a", "' + b"x" * (1 << 20) + after.encode())

    def test_a_line_that_never_ends_is_refused_before_the_end_of_the_file(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(json_lines, "_READ_BYTES", 1 << 17)
        content = b'\n"a"\n{"key": "' + b"x" * (1 << 20)
        assert "line 3 has more than 131072 bytes" in refusal_of(path, content)

    @pytest.mark.parametrize("size", ["-1", "1.5", "true", '"7"', "[]", "9223372036854775808"])
    def test_a_size_that_is_none_names_the_line(self, path: Path, size: str) -> None:
        content = f'{{"key": "a", "size": 3}}\n{{"key": "b", "size": {size}}}\n'
        assert f'line 2 has the "size" {size}; expected' in refusal_of(path, content.encode())

    @pytest.mark.parametrize(
        ("content", "byte", "reason"),
        [
            (b"n01440764_1.JPEG\n", 0, ""),
            ("ä".encode(), 0, ""),
            (b'["a", "b"', 9, "no ',' or ']' after an entry"),
            (b'["a", "b', 6, "a string that does not end"),
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

    @pytest.mark.parametrize(
        "line",
        [
            b"3",
            b"a",
            b'"a',
            b'{"a": 1}',
            b'{"key": 1}',
            b'{"key": "a"',
            b'"a" "b"',
            b'"a", "b"',
            b'"\xff"',
            b"[" * 9999,
        ],
        ids=repr,
    )
    def test_a_bad_line_is_numbered(self, path: Path, line: bytes) -> None:
        assert "line 4 is not one key; expected" in refusal_of(path, b'\n"a"\n"b"\n' + line + b'\n"c"')

    def test_a_damaged_gzip_file(self, path: Path) -> None:
        whole = gzip.compress(json.dumps(SOME_KEYS * 100).encode())
        assert "damaged gzip" in refusal_of(path, whole[:-20])
        assert "damaged gzip" in refusal_of(path, whole[:-6] + bytes(6))
        assert "expected a whole one" in refusal_of(path, whole[:-6])

    def test_a_folder_is_refused_with_what_was_expected(self, tmp_path: Path) -> None:
        with pytest.raises(IndexFileError, match=f"^{re.escape(str(tmp_path))} is a folder; expected an index file"):
            load_index(tmp_path)
