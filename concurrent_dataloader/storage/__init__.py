"""Object storage behind one Protocol: S3, Google's and Azure's, web servers, a local folder, and memory for tests."""

from concurrent_dataloader.storage.local import LocalStore
from concurrent_dataloader.storage.memory import MemoryStore
from concurrent_dataloader.storage.object_options import ObjectOptions
from concurrent_dataloader.storage.obstore_store import ObstoreStore
from concurrent_dataloader.storage.options import AddressingStyle, ClientName, S3Options, StaticCredentials
from concurrent_dataloader.storage.protocol import ObjectInfo, ObjectStore
from concurrent_dataloader.storage.s3 import S3Store

__all__ = [
    "ObjectStore",
    "ObjectInfo",
    "S3Store",
    "S3Options",
    "StaticCredentials",
    "ClientName",
    "AddressingStyle",
    "ObstoreStore",
    "ObjectOptions",
    "LocalStore",
    "MemoryStore",
]
