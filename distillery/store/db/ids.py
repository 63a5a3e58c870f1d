"""Ids that carry their kind and sort by time: `job_01k2...`, unique across processes."""

import secrets
import threading
import time
from typing import Literal

Prefix = Literal["job", "mdl", "ds", "upl", "art", "key"]
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_RANDOM_BITS = 80
_lock = threading.Lock()
_last = 0


def new_id(prefix: Prefix) -> str:
    """Return a new id: 48 bits of milliseconds, 80 random bits; rising within a process."""
    global _last
    with _lock:
        stamp = time.time_ns() // 1_000_000
        number = stamp << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
        if number <= _last or stamp == _last >> _RANDOM_BITS:
            number = _last + 1 + secrets.randbits(32)
        _last = number
    return f"{prefix}_{_encode(number)}"


def _encode(number: int) -> str:
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))
