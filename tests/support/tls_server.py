"""The scripted S3 server behind TLS, with a certificate from an authority of its own."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from raw_s3_server import RawS3Server

_LIFE = datetime.timedelta(days=1)


class TlsS3Server(RawS3Server):
    """A `RawS3Server` at ``https://127.0.0.1:port``.

    Args:
        folder: Where the authority's certificate goes, as ``ca.pem``, and the server's own files.
        address: The address that the server's certificate is for.
        self_signed: The server's certificate is its own authority, and nobody else's.

    Attributes:
        ca_bundle: Path of ``ca.pem``.
    """

    def __init__(self, folder: Path, *, address: str = "127.0.0.1", self_signed: bool = False) -> None:
        super().__init__()
        self.ca_bundle = str(folder / "ca.pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(_make_certificates(folder, address, self_signed))
        # The handshake is left to the connection's own thread: a client that refuses must not stop the server.
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server_port}"


def _make_certificates(folder: Path, address: str, self_signed: bool) -> Path:
    """Writes ``ca.pem``, and returns the path of the server's certificate and key in one file."""
    authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = _certificate("test authority", authority_key.public_key(), "test authority")
    authority = authority.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    authority = authority.add_extension(usage, critical=True)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
    issuer, issuer_key = ("test server", server_key) if self_signed else ("test authority", authority_key)
    server = _certificate("test server", server_key.public_key(), issuer).add_extension(names, critical=False)
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(authority.sign(authority_key, hashes.SHA256()).public_bytes(pem))
    private = server_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    chain = folder / "server.pem"
    chain.write_bytes(server.sign(issuer_key, hashes.SHA256()).public_bytes(pem) + private)
    return chain


def _certificate(name: str, key: ec.EllipticCurvePublicKey, issuer: str) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _LIFE)
        .not_valid_after(now + _LIFE)
    )
