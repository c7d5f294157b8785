"""What decides on the endpoint's delays, refusals and faults: pure, and at work on a connection."""

from __future__ import annotations

import random
import socket
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarking.endpoint import EndpointSettings, Fault, S3Endpoint
from benchmarking.endpoint.behaviour import Latency, SlowTail, Throttle, Verdict
from benchmarking.endpoint.chain import build_chain
from benchmarking.endpoint.faults import FaultScript
from benchmarking.endpoint.http import HttpRequest
from benchmarking.endpoint.s3_request import S3Request

BODY = bytes(range(250)) * 4


def request(path: str = "/b/key", method: str = "GET", at_s: float = 0.0, serving: int = 0) -> S3Request:
    return S3Request(HttpRequest(f"{method} {path} HTTP/1.1\r\n".encode()), at_s, serving)


def decide(behaviour: Any, asked: S3Request | None = None) -> Verdict:
    verdict = Verdict()
    behaviour.decide(asked or request(), verdict)
    return verdict


@pytest.mark.parametrize(
    ("method", "path", "delay_s"),
    [("GET", "/b/k", 0.05), ("HEAD", "/b/k", 0.05), ("GET", "/b?list-type=2", 0.05), ("PUT", "/b/k", 0.0)],
)
def test_latency_is_the_same_for_every_read_and_nothing_for_writes(method: str, path: str, delay_s: float) -> None:
    latency = Latency(0.05, 0.0, random.Random(0))
    assert {decide(latency, request(path, method)).delay_s for _ in range(10)} == {delay_s}


def test_jitter_keeps_the_mean_and_the_bounds() -> None:
    latency = Latency(0.1, 0.5, random.Random(0))
    delays = [decide(latency).delay_s for _ in range(2000)]
    assert sum(delays) / len(delays) == pytest.approx(0.1, rel=0.03)
    assert 0.05 <= min(delays) < 0.06 < 0.14 < max(delays) <= 0.15


def test_the_tail_slows_its_share_of_the_gets_and_the_same_ones_for_the_same_seed() -> None:
    first, second = (
        [decide(tail).delay_s for _ in range(5000)] for tail in (SlowTail(0.01, 1.0, random.Random(7)) for _ in "ab")
    )
    assert first == second
    assert 25 <= first.count(1.0) <= 80
    assert decide(SlowTail(1.0, 1.0, random.Random(0)), request(method="HEAD")).delay_s == 0.0


def test_a_throttle_lets_its_rate_through_whatever_is_offered() -> None:
    throttle = Throttle(100.0, None)
    verdicts = [decide(throttle, request(at_s=number / 1000)) for number in range(10_000)]
    let_through = sum(verdict.refusal is None for verdict in verdicts)
    assert 1000 <= let_through <= 1010 + 1  # ten seconds at 100 a second, and the burst at the start
    refusals = {verdict.refusal.status for verdict in verdicts if verdict.refusal is not None}
    assert refusals == {503}


def test_a_throttle_refuses_what_exceeds_the_number_in_flight() -> None:
    throttle = Throttle(None, 4)
    assert decide(throttle, request(serving=3)).refusal is None
    assert decide(throttle, request(serving=4)).refusal is not None


def test_what_is_not_asked_for_is_not_in_the_chain() -> None:
    assert build_chain(EndpointSettings(), Counter()) == []
    everything = EndpointSettings(
        latency_s=1.0, tail_fraction=0.1, max_in_flight=1, access_key="k", faults=(Fault("reset"),)
    )
    names = [type(behaviour).__name__ for behaviour in build_chain(everything, Counter())]
    assert names == ["Authentication", "Throttle", "FaultScript", "Latency", "SlowTail"]


def test_settings_never_show_their_secrets() -> None:
    assert "hidden" not in repr(EndpointSettings(access_key="hidden", session_token="hidden"))


def script(*faults: Fault) -> FaultScript:
    return FaultScript(faults, random.Random(0), Counter())


def test_a_fault_hits_its_keys_at_its_attempts_only() -> None:
    faults = script(Fault("status", key="a*", attempts=(1, 3), status=500))
    hits = [decide(faults, request("/b/a1")).refusal is not None for _ in range(4)]
    assert hits == [True, False, True, False]
    assert decide(faults, request("/b/other")).refusal is None
    assert decide(faults, request("/b/a2", "HEAD")).refusal is None
    assert decide(faults, request("/b/a2")).refusal is not None


def test_a_burst_ends_after_its_number_of_faults() -> None:
    faults = script(Fault("delay", delay_s=2.0, limit=3))
    assert [decide(faults, request(f"/b/{n}")).delay_s for n in range(5)] == [2.0, 2.0, 2.0, 0.0, 0.0]


def test_the_first_fault_that_fits_wins_and_is_counted() -> None:
    fired: Counter[str] = Counter()
    faults = FaultScript((Fault("reset", key="x"), Fault("stuck")), random.Random(0), fired)
    endings = [decide(faults, request(path)).transfer for path in ("/b/x", "/b/y")]
    assert [transfer.ending for transfer in endings if transfer is not None] == ["reset", "hang"]
    assert fired == {"reset": 1, "stuck": 1}


def test_a_fraction_of_faults_is_drawn_the_same_for_the_same_seed() -> None:
    first, second = (
        [decide(faults).refusal is not None for _ in range(200)]
        for faults in (script(Fault("status", fraction=0.3)) for _ in "ab")
    )
    assert first == second
    assert 30 < sum(first) < 90


def test_a_lag_concerns_listings_alone_and_only_at_its_attempts() -> None:
    faults = script(Fault("lag", key="new/*", attempts=(2, 3)))
    assert decide(faults, request("/b/new/1")).lagging_keys is None
    found = [decide(faults, request("/b?list-type=2")).lagging_keys for _ in range(4)]
    assert found == [None, "new/*", "new/*", None]


@pytest.mark.parametrize(
    "wrong",
    [{"action": "explode"}, {"action": "status", "status": 200}, {"action": "drip", "bytes_per_s": 0}, {"key": "k"}],
)
def test_a_wrong_fault_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="fault"):
        EndpointSettings(faults=(wrong,))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[S3Endpoint]:
    with S3Endpoint({"key": BODY, "large": BODY * 5000}, bucket="b") as running:
        yield running


def receive(endpoint: S3Endpoint, key: str = "key", enough: int | None = None) -> tuple[bytes, bytes, bool]:
    """Returns headers, body and whether the connection was reset; reads to its end or until there is enough."""
    host, port = endpoint.url.removeprefix("http://").split(":")
    received = b""
    with socket.create_connection((host, int(port))) as client:
        client.sendall(f"GET /b/{key} HTTP/1.1\r\nConnection: close\r\n\r\n".encode())
        try:
            while (enough is None or len(received) < enough) and (piece := client.recv(1 << 20)):
                received += piece
        except ConnectionResetError:
            return *cut(received), True
    return *cut(received), False


def cut(received: bytes) -> tuple[bytes, bytes]:
    head, _, body = received.partition(b"\r\n\r\n")
    return head, body


def test_errors_carry_their_status_code_and_retry_after(endpoint: S3Endpoint) -> None:
    for status, code in ((503, b"SlowDown"), (429, b"TooManyRequests"), (403, b"AccessDenied"), (400, b"ExpiredToken")):
        endpoint.configure(faults=[Fault("status", status=status, retry_after_s=7)])
        head, body, _ = receive(endpoint)
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert b"Retry-After: 7" in head
        assert b"<Code>%s</Code>" % code in body


@pytest.mark.parametrize("key", ["key", "large"])
def test_a_reset_comes_at_its_byte(endpoint: S3Endpoint, key: str) -> None:
    whole = len(BODY) * (5000 if key == "large" else 1)
    endpoint.configure(faults=[{"action": "reset", "at_byte": whole - 300}])
    head, body, was_reset = receive(endpoint, key)
    assert was_reset
    assert b"Content-Length: %d" % whole in head
    assert body == (BODY * 5000)[: whole - 300]
    endpoint.configure(faults=[{"action": "reset"}])
    assert receive(endpoint, key) == (b"", b"", True)


def test_a_short_body_ends_early_and_a_long_one_late(endpoint: S3Endpoint) -> None:
    endpoint.configure(faults=[Fault("short", missing_bytes=10)])
    head, body, was_reset = receive(endpoint)
    assert (body, was_reset) == (BODY[:-10], False)
    assert b"Content-Length: 1000" in head
    endpoint.configure(faults=[Fault("long", surplus_bytes=10)])
    head, body, was_reset = receive(endpoint)
    assert (body, was_reset) == (BODY + bytes(10), False)
    assert b"Content-Length: 1000" in head


def test_a_stuck_answer_stays_in_flight_until_the_client_gives_up(endpoint: S3Endpoint) -> None:
    endpoint.configure(faults=[])
    head, _, _ = receive(endpoint)
    endpoint.configure(faults=[Fault("stuck", at_byte=5)])
    endpoint.reset_stats()
    _, body, _ = receive(endpoint, enough=len(head) + len(b"\r\n\r\n") + 5)
    assert body == BODY[:5]
    assert endpoint.stats().faults == {"stuck": 1}
    while endpoint.stats().in_flight:
        pass


def test_a_dripping_body_arrives_whole(endpoint: S3Endpoint) -> None:
    endpoint.configure(faults=[Fault("drip", bytes_per_s=10_000.0)])
    assert receive(endpoint)[1] == BODY
