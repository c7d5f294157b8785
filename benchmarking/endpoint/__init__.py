"""An S3 endpoint of our own, in its own process on the loopback interface: latency, throttling and faults on demand.

It serves benchmarks, the demo and tests. Signatures are not verified, and nothing is ever written to disk.
"""

from benchmarking.endpoint.faults import Fault
from benchmarking.endpoint.process import EndpointError, S3Endpoint
from benchmarking.endpoint.settings import EndpointSettings
from benchmarking.endpoint.stats import EndpointStats

__all__ = ["S3Endpoint", "EndpointSettings", "EndpointStats", "EndpointError", "Fault"]
