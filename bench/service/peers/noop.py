"""The plainest Celery there is: a task that does nothing. `REDIS` names the broker."""

import os

from celery import Celery

app = Celery("noop", broker=os.environ["REDIS"], backend=os.environ["REDIS"])


@app.task  # type: ignore[untyped-decorator]
def noop() -> None:
    """Nothing."""
