from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from concurrent_dataloader.storage.cache_evict import Entry, Share, choose_victims, share_to_free, without_future

entries_of_a_cache = st.lists(
    st.builds(Entry, st.integers(0, 50), st.text("0123456789abcdef", max_size=4), st.integers(0, 1000)),
    unique_by=lambda entry: entry.name,
    max_size=30,
)


@given(entries_of_a_cache, st.integers(-10, 20_000))
def test_no_entry_that_stays_was_used_before_one_that_goes(entries: list[Entry], free_bytes: int) -> None:
    victims = choose_victims(entries, free_bytes)
    stay = set(entries) - set(victims)
    assert len(victims) == len(set(victims)) == len(entries) - len(stay)
    assert all(victim.used_ns <= entry.used_ns for victim in victims for entry in stay)


@given(entries_of_a_cache, st.integers(-10, 20_000))
def test_the_victims_free_enough_or_are_all_and_are_no_more_than_needed(entries: list[Entry], free_bytes: int) -> None:
    victims = choose_victims(entries, free_bytes)
    freed = sum(victim.size_bytes for victim in victims)
    assert freed >= free_bytes or len(victims) == len(entries)
    assert not victims or freed - victims[-1].size_bytes < free_bytes


@given(st.integers(1, 10**15), st.integers(0, 10**12), st.integers(1, 10**15))
def test_the_share_makes_room_for_the_incoming_object_and_is_at_least_a_tenth(
    total: int, incoming: int, bound: int
) -> None:
    incoming = min(incoming, bound)
    share = share_to_free(total, incoming, bound)
    assert total - share.of(total) + incoming <= bound
    assert share.of(total) * 10 >= total


@given(st.lists(st.integers(0, 10**6), max_size=20), st.integers(1, 100), st.integers(100, 1000))
def test_a_share_of_each_part_frees_at_least_the_share_of_the_whole(parts: list[int], part: int, whole: int) -> None:
    share = Share(part, whole)
    assert sum(share.of(size) for size in parts) >= share.of(sum(parts))


HOUR_NS = 3600 * 10**9


@given(entries_of_a_cache, st.integers(0, 60))
def test_entries_used_in_the_future_are_taken_for_the_oldest_and_all_others_as_they_are(
    entries: list[Entry], now_ns: int
) -> None:
    marked = [entry._replace(used_ns=entry.used_ns + HOUR_NS) for entry in entries]
    for before, after in zip(marked, without_future(marked, now_ns), strict=True):
        assert after == (before if before.used_ns <= now_ns + HOUR_NS else before._replace(used_ns=0))
