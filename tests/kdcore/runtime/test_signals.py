"""A stop is immediate, or waits for a boundary where it is deferred."""

import os
import signal

import pytest

from kdcore.runtime.signals import Interrupted, StopFlag


def test_at_first_a_stop_is_immediate() -> None:
    with pytest.raises(Interrupted):
        StopFlag().request()


def test_a_deferred_stop_waits_and_an_immediate_one_does_not() -> None:
    stop = StopFlag()
    with stop.deferred():
        assert not stop.requested
        with pytest.raises(Interrupted), stop.immediate():
            stop.request()
        stop.request()
        assert stop.requested
        with pytest.raises(Interrupted), stop.immediate():
            raise AssertionError("not reached: a stop was requested")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_request_a_stop(number: signal.Signals) -> None:
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
    stop = StopFlag()
    try:
        stop.listen()
        with stop.deferred():
            os.kill(os.getpid(), number)
        assert stop.requested
    finally:
        for n, handler in before.items():
            signal.signal(n, handler)


def test_no_library_swallows_it() -> None:
    assert not issubclass(Interrupted, Exception)
