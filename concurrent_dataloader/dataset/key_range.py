"""A part of a listing: the keys behind one key and up to another; and where such a part may be cut in two."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from concurrent_dataloader.dataset.page_spool import Ticket
from concurrent_dataloader.storage.protocol import ObjectInfo

_DIGITS = 16  # characters behind the common beginning that a cut may depend on: 60 halvings and more
_SAMPLE = 50  # one key in so many of a page is looked at for its characters


@dataclass(slots=True, eq=False)
class KeyRange:
    """The keys of a listing behind `last` and up to `upto`: what is still to be listed of a part.

    Ranges that lie side by side share the key at which they meet, which belongs to the former. So a cut at any string
    whatever loses no key and doubles none; where it lies decides only who does how much.

    Attributes:
        last: The last key that has been listed; at first the key behind which the range begins.
        upto: The last key that may belong to the range; None: all there are.
        tickets: The pages that have been listed and wait for their turn.
        pages: How many pages have been listed since the range was last cut or tried.
        taken: Whether a thread lists it.
        tried: Whether a thread looks for a cut.
        done: Whether all has been listed.
        complete: Whether all has been listed and the last page is among the tickets.
        alphabet: The characters of its keys, as far as they were looked at.
    """

    last: str = ""
    upto: str | None = None
    tickets: deque[Ticket] = field(default_factory=deque)
    pages: int = 0
    taken: bool = False
    tried: bool = False
    done: bool = False
    complete: bool = False
    alphabet: set[str] = field(default_factory=set)

    def within(self, objects: Sequence[ObjectInfo]) -> list[ObjectInfo]:
        """Returns those of a page that belong to the range."""
        return [each for each in objects if self.upto is None or each.key <= self.upto]

    def accept(self, objects: Sequence[ObjectInfo], truncated: bool) -> list[ObjectInfo]:
        """Takes note of the range's next page.

        Args:
            objects: What the store listed behind `last`.
            truncated: Whether the store has more.

        Returns:
            Those that belong to the range.
        """
        mine = self.within(objects)
        self.done = not truncated or len(mine) < len(objects)
        if mine:
            self.last = mine[-1].key
            self.alphabet.update(*(each.key for each in mine[::_SAMPLE]), self.last)
            self.done = self.done or self.last == self.upto
        self.pages += 1
        return mine

    def middle(self, prefix: str) -> str | None:
        """Returns a string between `last` and `upto` that begins with ``prefix``, or None where there is no room."""
        upto = None if self.upto is None else self.upto[len(prefix) :]
        found = between(self.last[len(prefix) :], upto, self.alphabet)
        return None if found is None else prefix + found


def between(low: str, high: str | None, alphabet: Iterable[str]) -> str | None:
    """Returns a string about half-way between two others in their order, made of an alphabet's characters and theirs.

    Strings are read as fractions whose digits are the characters; 0 stands for the end of a string.

    Args:
        low: The lower one.
        high: The higher one; None is higher than all strings.
        alphabet: Characters that the strings in between are likely to be made of.

    Returns:
        The string, or None where there is none to be found.
    """
    shared = "" if high is None else _common_beginning(low, high)
    digits = sorted({*alphabet, *low, *(high or "")})
    value = {digit: number for number, digit in enumerate(digits, start=1)}
    base = len(digits) + 1

    def number_of(text: str) -> int:
        tail = text[len(shared) : len(shared) + _DIGITS]
        total = 0
        for digit in tail:
            total = total * base + value[digit]
        return total * int(base ** (_DIGITS - len(tail)))

    rest = (number_of(low) + (base**_DIGITS if high is None else number_of(high))) // 2
    text = ""
    for place in reversed(range(_DIGITS)):
        number, rest = divmod(rest, base**place)
        if number == 0:
            break
        text += digits[number - 1]
    middle = shared + text
    return middle if low < middle and (high is None or middle < high) else None


def _common_beginning(one: str, other: str) -> str:
    length = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[:length]
