"""Planted bugs of the other parts: ``thaw/__init__.py`` and ``thaw/bench/``."""

from __future__ import annotations

from bugs.bug import Bug

BUGS = (
    Bug(
        "idle threads spin as long as OpenMP likes",
        "__init__.py",
        'os.environ.setdefault("GOMP_SPINCOUNT", "10000")',
        'os.environ.setdefault("GOMP_SPINCOUNT", "300000")',
        "test_threads.py",
        "sleep_soon",
    ),
    Bug(
        "the user's spinning is overwritten",
        "__init__.py",
        'os.environ.setdefault("GOMP_SPINCOUNT", "10000")',
        'os.environ["GOMP_SPINCOUNT"] = "10000"',
        "test_threads.py",
        "user_says",
    ),
    Bug(
        "a bound that forgets the learning",
        "bench/present.py",
        "for part in parts], axis=0)",
        "for part in parts[:2]], axis=0)",
        "bench/test_bench.py",
        "within_rounds",
    ),
)
