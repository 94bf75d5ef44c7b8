"""What is made ahead comes in order, one ahead, and with its errors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.prefetch import prefetched


def test_order_and_end() -> None:
    assert list(prefetched(iter(range(5)))) == [0, 1, 2, 3, 4]
    assert list(prefetched(iter([]))) == []
    assert list(prefetched(iter([None, None]))) == [None, None]


def test_one_is_made_ahead_and_no_more() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for i in range(5):
            made.append(i)
            yield i

    coming = prefetched(items())
    assert next(coming) == 0
    coming.close()  # waits for the one under way
    assert made == [0, 1]


def test_errors_come_at_their_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("no space left")

    coming = prefetched(items())
    assert next(coming) == 1
    with pytest.raises(OSError, match="no space left"):
        next(coming)
