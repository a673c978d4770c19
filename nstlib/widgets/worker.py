"""A transfer running in its own thread, which publishes snapshots of the picture."""

import contextlib
import threading
import time
import weakref
from dataclasses import dataclass

import torch

from ..images import to_pil
from .drawing import explain

INTERVAL = 0.12  # seconds between two published pictures, at least
# Only one transfer runs at a time: two would compete for the machine's memory.
_TURN = threading.Lock()
_LATEST = [lambda: None]  # a weak reference to what paints: it must not keep a closed panel alive


@dataclass(frozen=True)
class Snapshot:
    """A picture and the state of its run at one moment; it never changes.

    Attributes:
        image: float32 in [0, 1], shape (1, 3, H, W), on the CPU.
        transparency: (1, 1, H, W) or None.
        settings: JSON-able dict of the settings.
        state: ``"painting"``, ``"paused"``, ``"stopped"``, ``"done"`` or ``"failed"``.
        iteration, iterations: how many were made, and how many there are.
        share: share of the work done, from 0 to 1.
        losses: those of the last iteration; see :class:`~nstlib.transfer.Step`.
        seconds: time spent so far, without pauses.
    """

    image: torch.Tensor
    transparency: torch.Tensor | None
    settings: dict
    state: str
    iteration: int
    iterations: int
    share: float
    losses: dict
    seconds: float

    @property
    def picture(self):
        """The picture as PIL image, RGBA if it has transparency."""
        return to_pil(self.image, self.transparency)


class Painting:
    """One run of a transfer, which starts at once. At most one is at work at a time; others wait for their turn.

    Args:
        make: returns the :class:`~nstlib.transfer.StyleTransfer`; called in the thread.
        begin: called when its turn has come.
        live: returns ``{name: value}`` of the settings to apply before each iteration.
        show: called with a :class:`Snapshot` now and then, at each pause and at the end.
        end: called at the end with what went wrong, as text, or None.

    Attributes:
        transfer: the transfer; None before it is made and after :meth:`release`.
    """

    def __init__(self, make, begin, live, show, end):
        self.transfer = None
        self._make, self._begin, self._live, self._show, self._end = make, begin, live, show, end
        self._go, self._stop, self._released = threading.Event(), threading.Event(), False
        self._go.set()
        self._thread = threading.Thread(target=self._run, daemon=True, name="nstlib")
        self._thread.start()

    @property
    def paused(self):
        """Whether it is paused, or will be after this iteration."""
        return not self._go.is_set()

    @property
    def at_work(self):
        """Whether it is running, paused or waiting for its turn: neither finished nor asked to stop."""
        return not self._stop.is_set()

    def pause(self):
        """Pause after this iteration."""
        if not self._stop.is_set():
            self._go.clear()

    def resume(self):
        """Continue after a pause."""
        self._go.set()

    def stop(self):
        """Ask it to end after this iteration."""
        self._stop.set()
        self._go.set()

    def release(self):
        """Ask it to end, and to release the transfer and its memory."""
        self._released = True
        self.stop()
        self.transfer = None

    def wait(self, timeout=None):
        """Wait for the end, at most ``timeout`` seconds; returns whether it has ended."""
        if self._thread is not threading.current_thread():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self):
        problem = None
        try:
            while not self._stop.is_set():
                if _TURN.acquire(timeout=0.1):
                    try:
                        self._paint()
                    finally:
                        _TURN.release()
                    break
        except Exception as error:  # of whatever kind, the user has to see it; a thread's log is lost
            problem = explain(error)
        finally:
            self._stop.set()
            self._make = None  # with the pictures that it would be made of
            if self._released:
                self.transfer = None
            self._end(problem)

    def _paint(self):
        self._begin()
        clock = _Clock()
        transfer = self.transfer = self._make()
        next_look, step = 0.0, None
        try:
            while not self._stop.is_set():
                for name, value in self._live().items():
                    setattr(transfer.settings, name, value)
                following = next(transfer, None)
                if following is None:
                    break
                step = following
                now, paused = time.monotonic(), self.paused
                if now >= next_look or paused:
                    self._publish(transfer, step, "paused" if paused else "painting", clock)
                    # Large pictures take long to show; that may cost a quarter of the time at most.
                    next_look = time.monotonic() + max(INTERVAL, 3 * (time.monotonic() - now))
                if paused:
                    clock.rest(self._until_resumed)
        except Exception:
            with contextlib.suppress(Exception):  # if there is no memory for it, the picture shown before stays
                self._publish(transfer, step, "failed", clock)
            raise
        self._publish(transfer, step, "done" if transfer.work_done == transfer.work else "stopped", clock)

    def _until_resumed(self):
        while not self._stop.is_set() and not self._go.wait(0.1):
            pass

    def _publish(self, transfer, step, state, clock):
        if step is None:
            return
        self._show(
            Snapshot(
                image=transfer.image.cpu(),
                transparency=transfer.transparency,
                settings=transfer.as_dict(),
                state=state,
                iteration=step.iteration,
                iterations=len(transfer),
                share=transfer.work_done / transfer.work,
                losses=step.losses,
                seconds=clock.seconds(),
            )
        )


class _Clock:
    """Seconds since it was made, without the rests."""

    def __init__(self):
        self._began = time.monotonic()

    def seconds(self):
        return time.monotonic() - self._began

    def rest(self, wait):
        began = time.monotonic()
        wait()
        self._began += time.monotonic() - began


def release_other(owner):
    """Become the one that paints in this process: whatever did before is released, by its method of that name."""
    before = _LATEST[0]()
    if before is not None and before is not owner:
        before.release()
    _LATEST[0] = weakref.ref(owner)
