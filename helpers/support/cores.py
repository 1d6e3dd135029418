"""Work on several processor cores."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor


def n_cores() -> int:
    """Processor cores that may be used: a container or a batch system may allow fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(function: Callable, items: Iterable, n_threads: int) -> Iterator:
    """`map` on several threads; at most two items a thread are begun before their results are taken."""
    if n_threads == 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        begun = deque()
        try:
            for item in items:
                begun.append(pool.submit(function, item))
                if len(begun) == 2 * n_threads:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:  # whoever takes the results may stop early
            for future in begun:
                future.cancel()
