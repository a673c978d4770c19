"""A picture of one size on its way down the loss: one iteration after the other, with what may go wrong there."""

import contextlib
import signal
import threading
import warnings

import torch

from ..errors import Diverged
from ..images import resize
from .memory import is_out_of_memory, tighten
from .optimizers import LBFGS, OPTIMIZERS, make_optimizer, warm_start

#: Decay of the running mean of the iterates that is shown and returned; it removes the optimizer's jitter.
AVERAGING = 0.9
#: In half precision gradients overflow at 65504. They are taken of the loss times a power of two, which is halved when
#: they do and doubled after so many iterations in which they did not.
CALM = 100
LARGEST_SCALE, SMALLEST_SCALE = 2.0**10, 2.0**-24
#: Pairs of L-BFGS's history below which it is not cut when memory runs out.
SHORTEST_HISTORY = 2


class Descent:
    """An image that is optimised at one size.

    Args:
        image: to start from, RGB in [0, 1], shape (1, 3, H, W), on the device and in the precision of the
            optimizer's arithmetic.
        settings: :class:`~nstlib.Settings`; its live fields are read in every step.
        plan: :class:`~nstlib.features.Plan` to begin with; when memory runs out, a tighter one takes its place.
        aim: function of a plan that gives the :class:`~nstlib.terms.objective.Objective`; called at the first step.

    Attributes:
        average: the picture to show: the running mean of the iterates, or the last one where the optimizer has no
            jitter. Always finite.
        iterations: how many were made.
        plan: the plan in use.
    """

    def __init__(self, image, settings, plan, aim, *, history=None):
        self.settings, self.plan = settings, plan
        self.iterations = 0
        self._aim, self._objective = aim, None
        self._image = image.detach().contiguous().clone().requires_grad_()
        self.average, self._weight = self._image.detach().clone(), 0.0
        self._good = self.average.to(torch.float16)
        self._scale, self._calm = 1.0, 0
        self._history = history
        self._start_optimizer()

    def step(self):
        """Make one iteration.

        An interruption finds either all of it done or nothing.

        Returns:
            Tensor of the losses ``(content, style, image, total)`` of the picture as it was before this iteration.

        Raises:
            Diverged: the loss or the picture is no longer finite. The picture is the last good one again, and
                another step may be tried, with other weights for instance.
        """
        if self._objective is None:
            self._objective = self._with_less_memory(lambda: self._aim(self.plan))
        s = self.settings
        # The curvature that L-BFGS has gathered belongs to the loss of before.
        stale = s.optimizer == "LBFGS" and s.loss_weights != self._optimizer_weights
        if s.optimizer != self._optimizer_name or stale:
            self._start_optimizer()
        losses = self._evaluate()
        self._good.copy_(self.average)
        with uninterrupted():
            self._update(losses)
            self.iterations += 1
        return losses

    def enlarged(self, size, plan, aim):
        """The descent that goes on from here at another ``size`` (height, width)."""
        larger = Descent(resize(self.average, size), self.settings, plan, aim, history=self._history)
        warm_start(larger._optimizer, larger._image, self._optimizer, self._image)
        larger._scale = self._scale
        return larger

    def state(self):
        """All that :meth:`load` needs to go on from here: nested values and tensors."""
        return {
            "iterations": self.iterations, "image": self._image.detach(), "average": self.average,
            "weight": self._weight, "optimizer": self._optimizer_name, "optimizer_weights": self._optimizer_weights,
            "optimizer_state": self._optimizer.state_dict()["state"].get(0), "scale": self._scale, "calm": self._calm,
            "history": self._history,
        }  # fmt: skip

    def load(self, state):
        """Go on where a descent of the same size was when it gave this :meth:`state`."""
        with torch.no_grad():
            self._image.copy_(state["image"])
            self.average.copy_(state["average"])
            self._good.copy_(self.average)
        self.iterations, self._weight = state["iterations"], state["weight"]
        self._scale, self._calm, self._history = state["scale"], state["calm"], state["history"]
        self._start_optimizer(state["optimizer"])
        self._optimizer_weights = state["optimizer_weights"]
        if state["optimizer_state"]:
            self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": {0: state["optimizer_state"]}})

    def _start_optimizer(self, name=None):
        s = self.settings
        name, weights = name or s.optimizer, s.loss_weights
        optimizer = make_optimizer(name, self._image, s.learning_rate)
        if self._history is not None and isinstance(optimizer, LBFGS):
            optimizer.param_groups[0]["history_size"] = self._history
        with uninterrupted():
            self._optimizer, self._optimizer_name, self._optimizer_weights = optimizer, name, weights

    def _evaluate(self):
        """Fill the image's gradient, finite; return the losses."""
        while True:
            losses = self._with_less_memory(self._losses_and_gradient)
            loss, gradient = torch.stack([losses[-1].isfinite(), self._image.grad.isfinite().all()]).tolist()
            # What overflows in a larger type is no matter of scale.
            hopeless = self._scale <= SMALLEST_SCALE or self._objective.backbone.dtype != torch.float16
            if not loss or (not gradient and hopeless):
                self._diverge("the gradient is no longer finite" if loss else f"the loss became {losses[-1].item()}")
            if gradient:
                break
            self._scale, self._calm = self._scale / 2, 0
        self._calm += 1
        if self._calm >= CALM and self._scale < LARGEST_SCALE and self._objective.backbone.dtype == torch.float16:
            self._scale, self._calm = self._scale * 2, 0
        return losses

    def _losses_and_gradient(self):
        image = self._image
        image.grad = None
        losses = self._objective(image, self.plan)
        # A loss without a unit changes by about 1/pixels per pixel. Optimizing its product with the number of pixels
        # makes learning rates mean the same at every size and keeps half-precision gradients in range.
        size = image[0, 0].numel() if self.settings.unitless else 1
        (losses[-1] * (size * self._scale)).backward()
        image.grad /= self._scale
        return torch.stack(losses).detach()

    def _update(self, losses):
        self._move(losses)
        with torch.no_grad():
            # Clamp after every step: L-BFGS moves far outside [0, 1], and clamping only at the end undoes most of it.
            self._image.clamp_(0, 1)
            if not self._image.isfinite().all():
                self._diverge("the picture is no longer finite")
            if self._optimizer_name == "LBFGS":  # no jitter, no averaging
                self.average.copy_(self._image)
            else:
                self._weight = AVERAGING * self._weight + (1 - AVERAGING)
                self.average.lerp_(self._image, (1 - AVERAGING) / self._weight)

    def _move(self, losses):
        """Let the optimizer move the image; when memory runs out for L-BFGS, with less of its history."""
        while True:
            rate = self.settings.learning_rate or OPTIMIZERS[self._optimizer_name][1]
            self._optimizer.param_groups[0]["lr"] = rate
            try:
                self._optimizer.step(lambda: losses[-1])
                return
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or not isinstance(self._optimizer, LBFGS):
                    raise
                pairs = self._optimizer.param_groups[0]["history_size"] // 2
                if pairs < SHORTEST_HISTORY:
                    raise
            # Outside the handler, so that the old vectors are gone. The first step without them is a steepest descent.
            warnings.warn(f"out of memory: L-BFGS goes on with {pairs} pairs of its history", stacklevel=2)
            self._history = pairs
            self._start_optimizer()

    def _diverge(self, what):
        with uninterrupted(), torch.no_grad():
            self._image.copy_(self._good)
            self.average.copy_(self._good)
            self._weight = 0.0
            self._start_optimizer()
        half = self._objective.backbone.dtype in (torch.float16, torch.bfloat16)
        raise Diverged(
            f"{what}: the picture is the last good one. A smaller learning_rate or weight helps"
            + (", or precision='float32'" if half else "")
        )

    def _with_less_memory(self, compute):
        """Run ``compute``; when memory runs out, tile more and run it again."""
        while True:
            try:
                return compute()
            except (RuntimeError, MemoryError) as error:
                tighter = tighten(self.plan) if is_out_of_memory(error) else None
                if tighter is None:
                    raise
                warnings.warn(f"out of memory with {self.plan}: going on with {tighter}", stacklevel=2)
            # Outside the handler, so that the failed attempt's tensors are gone.
            self.plan = tighter
            self._image.grad = None
            if self._image.device.type == "cuda":
                torch.cuda.empty_cache()


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
