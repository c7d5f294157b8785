"""Downloads: whole, checked, then renamed; from https never to http; and no secret in any message."""

from __future__ import annotations

import datetime
import logging
import socket
import ssl
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from raw_s3_server import RawS3Server, Request, short, status

from concurrent_dataloader._base.errors import (
    AccessDenied,
    CredentialsFileError,
    IncompleteBody,
    IndexFileError,
    ObjectNotFound,
    StorageError,
    StorageTimeout,
)
from concurrent_dataloader.dataset import download as module
from concurrent_dataloader.dataset.download import download
from concurrent_dataloader.dataset.index_file import check_index

INDEX = b'["a/1.png", "b/2.png"]'
SECRET_QUERY = "?X-Amz-Credential=AKIA&X-Amz-Signature=top-secret"


def index(request: Request) -> None:
    request.answer(200, INDEX)


@pytest.fixture
def server() -> Iterator[RawS3Server]:
    with RawS3Server() as server:
        server.plan(then=index)
        yield server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "index.json"


def no_s3(bucket: str, key: str) -> bytes:
    raise AssertionError(f"nobody asked for s3://{bucket}/{key}")


def fetch(url: str, path: Path, **options: Any) -> None:
    download(url, path, **{"check": check_index, "read_s3": no_s3, **options})


def failure_of(error_type: type[Exception], url: str, path: Path, **options: Any) -> str:
    """Returns the message, after a look that neither it nor what led to it shows a secret, and that nothing is left."""
    with pytest.raises(error_type) as caught:
        fetch(url, path, **options)
    assert "top-secret" not in "".join(traceback.format_exception(caught.value, limit=0))
    assert not path.parent.exists() or not list(path.parent.iterdir())
    return str(caught.value)


class TestDownloading:
    def test_the_file_appears_whole_in_a_folder_that_is_made(
        self, server: RawS3Server, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.DEBUG, "concurrent_dataloader"):
            fetch(f"{server.url}/files/index.json{SECRET_QUERY}", path)
        assert path.read_bytes() == INDEX
        assert list(path.parent.iterdir()) == [path]
        assert [seen[1] for seen in server.seen] == [f"/files/index.json{SECRET_QUERY}"]
        assert f"downloading {path} from {server.url}/files/index.json" in caplog.text
        assert "top-secret" not in caplog.text

    def test_a_file_that_is_there_is_neither_downloaded_nor_looked_at(self, server: RawS3Server, path: Path) -> None:
        path.parent.mkdir()
        path.write_text("mine")
        fetch(f"{server.url}/index.json", path)
        assert path.read_text() == "mine"
        assert not server.seen

    def test_a_file_url_is_copied(self, tmp_path: Path, path: Path) -> None:
        source = tmp_path / "an index ü.json"
        source.write_bytes(INDEX)
        fetch(f"file://{source}", path)
        assert path.read_bytes() == INDEX

    @pytest.mark.parametrize("key", ["index.json", "a/b c.json", "/leading", "a#b?c=1&d%20.json"])
    def test_the_key_of_an_s3_url_is_taken_as_it_stands(self, path: Path, key: str) -> None:
        asked = []
        fetch(f"s3://my-bucket/{key}", path, read_s3=lambda *place: (asked.append(place), INDEX)[1])
        assert asked == [("my-bucket", key)]
        assert path.read_bytes() == INDEX

    def test_blanks_and_letters_beyond_ascii_are_sent_as_browsers_send_them(
        self, server: RawS3Server, path: Path
    ) -> None:
        fetch(f"{server.url}/my index%20ü.json?name=a b", path)
        assert [seen[1] for seen in server.seen] == ["/my%20index%20%C3%BC.json?name=a%20b"]

    def test_a_redirect_within_http_is_followed(self, server: RawS3Server, path: Path) -> None:
        server.plan(lambda request: request.answer(302, b"", Location="/elsewhere"), then=index)
        fetch(f"{server.url}/index.json", path)
        assert [seen[1] for seen in server.seen] == ["/index.json", "/elsewhere"]

    @pytest.mark.parametrize("failure", [status(503), status(429), status(500), short])
    def test_what_may_pass_is_tried_again_from_the_start(self, server: RawS3Server, path: Path, failure: Any) -> None:
        server.plan(failure, failure, then=index)
        fetch(f"{server.url}/index.json", path)
        assert path.read_bytes() == INDEX
        assert len(server.seen) == 3


class TestFailing:
    @pytest.mark.parametrize(
        ("code", "error_type"), [(401, AccessDenied), (403, AccessDenied), (404, ObjectNotFound), (410, ObjectNotFound)]
    )
    def test_a_refusal_is_raised_at_once_and_names_the_url_without_its_query(
        self, server: RawS3Server, path: Path, code: int, error_type: type[Exception]
    ) -> None:
        server.plan(then=status(code, "Code", "top-secret"))
        message = failure_of(error_type, f"{server.url}/index.json{SECRET_QUERY}", path)
        assert message.startswith(f"{server.url}/index.json: the server answered {code} (attempts: 1,")
        assert len(server.seen) == 1

    def test_a_server_that_stays_busy_is_given_up(self, server: RawS3Server, path: Path) -> None:
        server.plan(then=status(503))
        message = failure_of(StorageError, f"{server.url}/index.json{SECRET_QUERY}", path)
        assert "the server answered 503 (attempts: 5," in message

    def test_a_body_that_stays_short_is_never_kept(self, server: RawS3Server, path: Path) -> None:
        server.plan(then=short)
        message = failure_of(IncompleteBody, f"{server.url}/index.json{SECRET_QUERY}", path)
        assert "30 bytes arrived, 100 were announced (attempts: 5," in message

    def test_a_chunked_body_without_its_end_is_never_kept(self, server: RawS3Server, path: Path) -> None:
        def cut(request: Request) -> None:
            request.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n16\r\n" + INDEX)
            request.close_connection = True

        server.plan(then=cut)
        assert "ended within the body" in failure_of(IncompleteBody, f"{server.url}/index.json{SECRET_QUERY}", path)

    def test_a_server_that_says_nothing_is_a_timeout(
        self, server: RawS3Server, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_SILENCE_TIMEOUT_S", 0.05)
        server.plan(then=lambda request: server.released.wait() and None)
        message = failure_of(StorageTimeout, f"{server.url}/index.json{SECRET_QUERY}", path)
        assert "(attempts: 5," in message

    def test_a_tls_handshake_without_an_answer_is_a_timeout_too(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_SILENCE_TIMEOUT_S", 0.05)
        with socket.create_server(("127.0.0.1", 0)) as listening:  # the system takes connections, nobody answers
            url = f"https://127.0.0.1:{listening.getsockname()[1]}/index.json{SECRET_QUERY}"
            failure_of(StorageTimeout, url, path)

    def test_nobody_who_answers_is_a_storage_error(self, path: Path) -> None:
        with RawS3Server() as gone:
            url = gone.url
        assert "ConnectionRefusedError" in failure_of(StorageError, f"{url}/index.json{SECRET_QUERY}", path)

    def test_what_the_check_refuses_names_the_place_and_not_the_part(self, server: RawS3Server, path: Path) -> None:
        server.plan(then=lambda request: request.answer(200, b"<html>please log in</html>"))
        message = failure_of(IndexFileError, f"{server.url}/index.json{SECRET_QUERY}", path)
        assert message.startswith(f"{path}, downloaded from {server.url}/index.json, is not JSON at byte 0")

    def test_a_file_url_without_a_file_is_not_found(self, tmp_path: Path, path: Path) -> None:
        assert "there is no such file" in failure_of(ObjectNotFound, f"file://{tmp_path}/nowhere.json", path)

    @pytest.mark.parametrize(
        ("url", "problem"),
        [
            ("top-secret/index.json", "got one without a scheme"),
            ("/top-secret/index.json", "got one without a scheme"),
            ("ftp://host/top-secret", "got ftp:"),
            ("http://user:top-secret@host/index.json", "got one with user or password"),
            ("https://[::1/top-secret", "no URL"),
            ("https://host:top-secret/index.json", "no URL"),
            ("https:///top-secret", "https:// without a host or bucket"),
            ("s3:///top-secret", "s3:// without a host or bucket"),
            ("s3://bucket", "s3://bucket without a key"),
            ("s3://bucket/", "s3://bucket without a key"),
        ],
    )
    def test_what_is_no_url_of_ours_is_refused_without_being_shown(self, path: Path, url: str, problem: str) -> None:
        message = failure_of(CredentialsFileError, url, path)
        assert message.startswith("expected https://, http://, s3://bucket/key or file://, got ")
        assert problem in message

    @pytest.mark.parametrize("url", ["http://ho st/index.json", "http://a..b/index.json"])
    def test_a_host_that_is_none_is_a_storage_error_without_the_query(self, path: Path, url: str) -> None:
        failure_of(StorageError, url + SECRET_QUERY, path)


class Redirecting(BaseHTTPRequestHandler):
    """Sends everybody on to ``server.target``; where that is None, serves the index."""

    def do_GET(self) -> None:
        target = self.server.target  # type: ignore[attr-defined]
        self.send_response(200 if target is None else 302)
        self.send_header("Content-Length", "0" if target else str(len(INDEX)))
        if target:
            self.send_header("Location", target)
        self.end_headers()
        self.wfile.write(b"" if target else INDEX)

    def log_message(self, format: str, *args: object) -> None:
        """Keeps stderr quiet."""


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Keeps stderr quiet: a client that refuses the certificate hangs up."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that signs itself, with its key, in one PEM file."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(1))
    alternative = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    signed = builder.add_extension(alternative, critical=False).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path: Path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    path.write_bytes(signed.public_bytes(pem) + secret)
    return path


@contextmanager
def https_server(certificate: Path, target: str | None = None) -> Iterator[str]:
    server = QuietServer(("127.0.0.1", 0), Redirecting)
    server.target = target  # type: ignore[attr-defined]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class TestHttps:
    def test_a_certificate_that_nobody_trusts_is_refused(self, certificate: Path, path: Path) -> None:
        with https_server(certificate) as url:
            message = failure_of(StorageError, f"{url}/index.json{SECRET_QUERY}", path)
        assert "CERTIFICATE_VERIFY_FAILED" in message

    def test_a_trusted_one_is_taken(self, certificate: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with https_server(certificate) as url:
            fetch(f"{url}/index.json", path)
        assert path.read_bytes() == INDEX

    def test_a_redirect_to_plain_http_is_refused(
        self, certificate: Path, path: Path, server: RawS3Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with https_server(certificate, target=f"{server.url}/index.json{SECRET_QUERY}") as url:
            message = failure_of(StorageError, f"{url}/index.json{SECRET_QUERY}", path)
        assert "redirected from https to plain http, which is refused" in message
        assert not server.seen
