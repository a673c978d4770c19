"""A transfer in a thread of its own, which publishes finished pictures."""

import contextlib
import threading
import time
from dataclasses import dataclass

import torch

from ..images import to_pil
from .drawing import explain

INTERVAL = 0.12  # seconds between two published pictures, at least
# Two transfers at once would have to share one machine's memory.
_TURN = threading.Lock()


@dataclass(frozen=True)
class Snapshot:
    """A finished picture and where it stands; nothing in it changes any more.

    Attributes:
        image: float32 in [0, 1], shape (1, 3, H, W), on the CPU.
        transparency: (1, 1, H, W) or None.
        settings: JSON-able dict of the settings.
        state: ``"painting"``, ``"paused"``, ``"stopped"``, ``"done"`` or ``"failed"``.
        iteration, iterations: done, and in all.
        share: of the work that is done, from 0 to 1.
        losses: those of the last iteration; see :class:`~nstlib.transfer.Step`.
        seconds: painted so far, pauses apart.
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
    """One run of a transfer, begun when it is made. At most one paints at a time; others wait for their turn.

    Args:
        make: returns the :class:`~nstlib.transfer.StyleTransfer`; called in the thread.
        begin: called when its turn has come.
        live: returns ``{name: value}`` of the settings to take over before each iteration.
        show: called with each :class:`Snapshot`, now and then, at a pause and at the end.
        end: called with what went wrong, a text, or None, once the painting is over.

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
        """Whether it holds, or will after this iteration."""
        return not self._go.is_set()

    @property
    def at_work(self):
        """Whether it goes on, or would without a pause: neither over nor asked to stop."""
        return not self._stop.is_set()

    def pause(self):
        """Hold after this iteration."""
        if not self._stop.is_set():
            self._go.clear()

    def resume(self):
        """Go on after a pause."""
        self._go.set()

    def stop(self):
        """Ask to end after this iteration."""
        self._stop.set()
        self._go.set()

    def release(self):
        """Ask to end, and to let go of the transfer and its memory."""
        self._released = True
        self.stop()
        self.transfer = None

    def wait(self, timeout=None):
        """Wait for the end, at most ``timeout`` seconds; returns whether it has come."""
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
        except Exception as error:  # whatever it is, it belongs in front of the user, not in a lost thread's log
            problem = explain(error)
        finally:
            self._stop.set()
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
                    # Large pictures take long to show: three quarters of the time are for painting.
                    next_look = time.monotonic() + max(INTERVAL, 3 * (time.monotonic() - now))
                if paused:
                    clock.rest(self._until_resumed)
        except Exception:
            with contextlib.suppress(Exception):  # without memory for the last picture, the one before is kept
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
                image=transfer.image.cpu(), transparency=transfer.transparency, settings=transfer.as_dict(),
                state=state, iteration=step.iteration, iterations=len(transfer),
                share=transfer.work_done / transfer.work, losses=step.losses, seconds=clock.seconds(),
            )
        )  # fmt: skip


class _Clock:
    """Seconds since it was made, rests apart."""

    def __init__(self):
        self._began = time.monotonic()

    def seconds(self):
        return time.monotonic() - self._began

    def rest(self, wait):
        began = time.monotonic()
        wait()
        self._began += time.monotonic() - began
