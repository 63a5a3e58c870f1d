"""Parses server-sent events: lines of a text/event-stream in, messages out."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Message:
    """One dispatched message."""

    event: str
    data: str
    id: str | None


def parse(lines: Iterable[str]) -> Iterator[Message]:
    """Yield the messages of a stream as the HTML standard defines; an unfinished one is dropped."""
    event, data, last_id = "message", list[str](), None
    for line in lines:
        if not line:
            if data:
                yield Message(event, "\n".join(data), last_id)
            event, data = "message", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            event = value
        elif field == "data":
            data.append(value)
        elif field == "id":
            last_id = value
