"""A stop is immediate where nothing is half done, and waits for a boundary elsewhere."""

import os
import signal

import pytest

from kdcore.runtime.signals import Interrupted, Stop


def test_at_first_a_stop_is_immediate() -> None:
    with pytest.raises(Interrupted):
        Stop().ask()


def test_deferred_it_waits_for_check_and_at_once_it_does_not() -> None:
    stop = Stop()
    with stop.deferred():
        stop.check()
        with pytest.raises(Interrupted), stop.at_once():
            stop.ask()
        stop.ask()
        with pytest.raises(Interrupted):
            stop.check()
        with pytest.raises(Interrupted), stop.at_once():
            raise AssertionError("not reached: a stop was asked for")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_ask(number: signal.Signals) -> None:
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
    stop = Stop()
    try:
        stop.listen()
        with stop.deferred():
            os.kill(os.getpid(), number)
        assert stop.asked
    finally:
        for n, handler in before.items():
            signal.signal(n, handler)


def test_no_library_swallows_it() -> None:
    assert not issubclass(Interrupted, Exception)
