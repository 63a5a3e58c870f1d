"""Finds the service that `kd up` runs in a home folder, from the note beside its lock."""

import json
import os
from pathlib import Path

LOCK_FILE = "up.lock"


def running_url(home: Path) -> str | None:
    """Return the URL of the service that runs on `home`, or None."""
    try:
        note = json.loads((home / LOCK_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return str(note["url"]) or None if is_alive(int(note["pid"])) else None


def is_alive(pid: int) -> bool:
    """Whether a process with this id exists."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
