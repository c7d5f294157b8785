"""The errors of the library: one class per cause, each also the built-in that a caller would catch.

Every class can be built from its message alone. torch rebuilds a worker's exception in the main process as
``type(error)(message)``, so an error with more required arguments would arrive there as a bare ``RuntimeError``.
"""

from __future__ import annotations


class ConcurrentDataLoaderError(Exception):
    """Base of every error that this library raises on its own account."""


class OptionError(ConcurrentDataLoaderError, ValueError):
    """An argument is wrong or does not go with another; the message names it and what was expected."""


class UnsupportedTorchError(ConcurrentDataLoaderError, RuntimeError):
    """The installed torch has internals of a shape that this version of the library does not know."""


class DatasetError(ConcurrentDataLoaderError, RuntimeError):
    """A dataset broke the iteration protocol, for instance by letting a ``StopIteration`` out."""


class FileFormatError(ConcurrentDataLoaderError, ValueError):
    """A file of ours is not what it should be; the message names file, entry and what was expected."""


class IndexFileError(FileFormatError):
    """The index file is no JSON list of keys."""


class ClassesFileError(FileFormatError):
    """The classes file has neither of the two documented shapes, or does not cover the index."""


class CredentialsFileError(FileFormatError):
    """The credentials file lacks an entry or has one of the wrong type."""


class MissingFileError(ConcurrentDataLoaderError, FileNotFoundError):
    """A file that the user named, or should have prepared, is not there; the message says how to make it."""


class DecodeError(ConcurrentDataLoaderError, ValueError):
    """An object's bytes are no image that the decoder can read; the message names the key."""


class StorageError(ConcurrentDataLoaderError, OSError):
    """A request to a store failed for good; the message names key, store, attempts and seconds."""


class ObjectNotFound(StorageError, FileNotFoundError):
    """The store answered 404: there is no such object, or no such bucket."""


class AccessDenied(StorageError, PermissionError):
    """The store answered 401 or 403, or there are no credentials to sign with."""


class StorageTimeout(StorageError, TimeoutError):
    """The deadline of a request passed, retries included."""


class IncompleteBody(StorageError):
    """The body that arrived is shorter or longer than the store announced."""


class UnreadableKeyError(StorageError):
    """The client of this store cannot name such an object, so nothing was asked for."""


class ForkedClientError(StorageError):
    """The only client of this store does not work in this process, since its parent had used it before the fork."""
