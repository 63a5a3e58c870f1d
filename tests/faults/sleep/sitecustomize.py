"""Makes Python sleep under libfaketime 0.9.10, which fails absolute sleeps (EINVAL) where it leaves
the monotonic clock alone. In a folder of its own: every program that has it on its path imports it.
"""

import select
import time
from typing import SupportsIndex


def sleep(seconds: SupportsIndex | float) -> None:
    """As time.sleep, by a relative wait."""
    select.select([], [], [], float(seconds))


time.sleep = sleep
