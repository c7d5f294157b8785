"""Classes from the names of folders, as torchvision's ``ImageFolder`` takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from concurrent_dataloader._base.errors import ClassesFileError

# What torchvision's ImageFolder takes for an image by default (torchvision.datasets.folder.IMG_EXTENSIONS).
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class FolderClasses:
    """Targets by the first folder below a prefix.

    Attributes:
        prefix: Where the folders lie: empty, or a path that ends in ``/``.
        class_to_idx: From folder to 0-based target, in the order of the targets.
    """

    prefix: str
    class_to_idx: Mapping[str, int]

    @property
    def id_base(self) -> int:
        """The class id that is target 0: 0, since folders have no ids."""
        return 0

    def target_of(self, key: str) -> int:
        """Returns the 0-based target of a key.

        Raises:
            ClassesFileError: The key lies in none of the folders.
        """
        folder, slash, _ = key.removeprefix(self.prefix).partition("/")
        target = self.class_to_idx.get(folder) if slash and key.startswith(self.prefix) else None
        if target is None:
            place = f"the {len(self.class_to_idx)} class folders below {self.prefix!r}"
            raise ClassesFileError(f"{key}: lies in none of {place}")
        return target
