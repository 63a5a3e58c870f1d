"""The SSE parser follows the standard: several data lines, comments, ids that stay."""

from distillery.sdk.sse import Message, parse


def test_messages_end_at_an_empty_line() -> None:
    lines = ["id: 3", "event: log", "data: one", "data: two", "", "data:bare", ""]
    assert list(parse(lines)) == [Message("log", "one\ntwo", "3"), Message("message", "bare", "3")]


def test_comments_and_messages_without_data_are_nothing() -> None:
    assert list(parse([": ping", "", "event: end", "", "retry: 1000", ""])) == []


def test_a_message_cut_off_by_a_lost_connection_is_dropped() -> None:
    assert list(parse(["data: whole", "", "data: ha"])) == [Message("message", "whole", None)]
