"""Where a listing is cut before it starts: at the folders that a few requests find."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from concurrent_dataloader.storage.protocol import Page

_MAX_LEVELS = 16  # a chain of folders costs one request for each; deeper ones are cut while they are listed


def find_cuts(levels: Callable[[list[str]], Iterable[Page]], top: Page, enough: int, most: int) -> list[str]:
    """Looks for folders, level by level, until there are enough or no more.

    Args:
        levels: Returns the first page of each of some folders, one level deep.
        top: The first page of the topmost level.
        enough: So many folders are not looked into any more: each costs a request, which is lost if it has no folders.
        most: How many cuts there should be at most.

    Returns:
        Names of folders, sorted, spread over all that were found.
    """
    frontier = top.prefixes
    found = set(frontier)
    for _ in range(_MAX_LEVELS):
        if not frontier or len(found) >= enough:
            break
        below: list[str] = []
        for folder, page in zip(frontier, levels(frontier), strict=True):
            if page.prefixes:
                found.discard(folder)  # its first folder is as good a place, and leaves no range of a few files
                below += page.prefixes
        found.update(below)
        frontier = below
    cuts = sorted(found)
    step = max(1.0, len(cuts) / most)
    return [cuts[int(at * step)] for at in range(min(len(cuts), most))]
