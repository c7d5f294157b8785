"""Command line: ``python -m benchmarking.endpoint --folder DIR --bucket B --port P --latency-ms 50``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarking.endpoint.child import CHILD_FLAG, run_child
from benchmarking.endpoint.objects import Bucket, read_folder
from benchmarking.endpoint.server import EndpointServer, serve
from benchmarking.endpoint.settings import EndpointSettings


def main(arguments: list[str]) -> None:
    """Serves a folder until Ctrl-C, or does a parent's bidding where `S3Endpoint` started it."""
    if arguments == [CHILD_FLAG]:
        run_child(sys.stdin.buffer, sys.stdout.buffer)
        return
    options = _parser().parse_args(arguments)
    settings = EndpointSettings(
        latency_s=options.latency_ms / 1000.0,
        tail_fraction=options.tail_fraction,
        tail_extra_s=options.tail_extra_ms / 1000.0,
        max_requests_per_s=options.max_requests_per_s,
        max_in_flight=options.max_in_flight,
    )
    bucket = Bucket(read_folder(options.folder))
    serve(EndpointServer(options.bucket, bucket, settings), options.port, lambda port: _announce(options.bucket, port))


def _announce(bucket: str, port: int) -> None:
    print(json.dumps({"endpoint_url": f"http://127.0.0.1:{port}", "bucket": bucket}), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarking.endpoint", description="Serves a folder like S3.")
    parser.add_argument("--folder", type=Path, required=True, help="folder whose files are the bucket's objects")
    parser.add_argument("--bucket", default="imagenet", help="the bucket's name (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0: one that is free (default)")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="added to every GET, HEAD and LIST (default: 0)")
    parser.add_argument("--tail-fraction", type=float, default=0.0, help="share of the GETs that are slow (default: 0)")
    parser.add_argument("--tail-extra-ms", type=float, default=1000.0, help="added to slow ones (default: 1000)")
    parser.add_argument("--max-requests-per-s", type=float, help="answer 503 above this rate (default: no limit)")
    parser.add_argument("--max-in-flight", type=int, help="answer 503 above this number at once (default: no limit)")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
