"""Replaces time.sleep under libfaketime 0.9.10, where absolute sleeps on the real monotonic clock
fail (EINVAL). In a directory of its own, because Python imports it wherever it is on the path.
"""

import select
import time
from typing import SupportsIndex


def sleep(seconds: SupportsIndex | float) -> None:
    """As time.sleep, with a relative timeout."""
    select.select([], [], [], float(seconds))


time.sleep = sleep
