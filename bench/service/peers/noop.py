"""A minimal Celery application with a task that does nothing; `REDIS`: the broker's URL."""

import os

from celery import Celery

app = Celery("noop", broker=os.environ["REDIS"], backend=os.environ["REDIS"])


@app.task  # type: ignore[untyped-decorator]
def noop() -> None:
    """Do nothing."""
