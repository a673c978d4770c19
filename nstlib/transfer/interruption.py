"""Ctrl-C: held back where work must not be left half done."""

import contextlib
import signal
import threading


@contextlib.contextmanager
def uninterrupted():
    """Hold back Ctrl-C until the end of a block that is short and must not be left half done."""
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield  # no other thread is ever interrupted
        return
    held = []
    signal.signal(signal.SIGINT, lambda *arguments: held.append(arguments))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if held:
            handler(*held[0])


@contextlib.contextmanager
def noted_interruption(ranks):
    """Ctrl-C, and the signal with which torchrun ends its processes, only set ``ranks.interrupted``.

    All ranks look at it together, and stop at the same iteration. A second one acts at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(*_):
        if ranks.interrupted:
            raise KeyboardInterrupt
        ranks.interrupted = True

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def despite_interruption(action):
    """``(action(), interrupted)``: done again from the start if Ctrl-C cut it short. Ctrl-C once more stops it."""
    try:
        return action(), False
    except KeyboardInterrupt:
        return action(), True
