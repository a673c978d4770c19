"""Gradient descent at one size, with overflow, divergence, lack of memory and interruption taken care of."""

import copy
import warnings

import torch

from ..ambient import is_out_of_memory
from ..checks import number
from ..errors import Diverged
from ..features.ranks import ALONE, MemoryElsewhere
from ..terms import Objective
from .interruption import uninterrupted
from .memory import tighten
from .stepper import Stepper

#: Decay of the running mean of the iterates that is shown and returned; it removes the optimizer's jitter.
AVERAGING = 0.9
#: In half precision gradients overflow at 65504. They are taken of the loss times a power of two, which is halved when
#: they do and doubled after so many iterations in which they did not.
CALM = 100
LARGEST_SCALE, SMALLEST_SCALE = 2.0**10, 2.0**-24
#: Processors of different kinds round differently. After so many iterations ranks compare their pictures, and if they
#: differ all go on with that of rank 0.
CHECK_EVERY = 50


class Descent:
    """Gradient descent on a canvas, at one size.

    Args:
        canvas: the parameters to optimise, from the picture to start with; see :mod:`nstlib.transfer.canvas`.
        terms: ``{name: term}`` of the loss; see :class:`~nstlib.terms.Objective`.
        settings: :class:`~nstlib.Settings`; the live ones are read in every step.
        plan: :class:`~nstlib.features.Plan` to begin with; when memory runs out, a tighter one takes its place.
        view: function of a plan that gives the :class:`~nstlib.terms.View`; called at the first step.
        targets: ``{name: targets}`` to reuse instead of computing them.
        history: pairs of L-BFGS's history, if fewer than usual.
        ranks: :class:`~nstlib.features.Ranks` that take every step together.

    Attributes:
        average: the canvas to show: the running mean of the iterates, or a copy of the last one if the optimizer does
            not fluctuate. It is always finite, and replaced, never modified, by each step.
        iterations: how many were made.
        plan: the plan in use.
    """

    def __init__(self, canvas, terms, settings, plan, view, targets=None, history=None, ranks=ALONE):
        self.settings, self.plan, self._ranks = settings, plan, ranks
        self.iterations = 0
        self._terms, self._view, self._known, self._objective = terms, view, targets, None
        self._protection = settings.protection
        self._canvas, self._weight = canvas, 0.0
        self.average = self._good = copy.deepcopy(canvas)
        self._scale, self._calm = 1.0, 0
        self._stepper = Stepper(canvas.parameters(), settings, _loss_weights(terms, settings), history, ranks)

    @property
    def image(self):
        """The picture to show, with its margin, RGB in [0, 1], shape (N, 3, H, W), without gradient."""
        with torch.no_grad():
            return self.average.image().detach()

    @property
    def targets(self):
        """``{name: targets}`` of the terms; those given, before the first step."""
        return dict(self._known or {}) if self._objective is None else self._objective.targets

    def step(self):
        """Make one iteration.

        An interruption finds either all of it done or nothing.

        Returns:
            ``{name: loss}`` of the terms, without their weights, and ``"total"``, their weighted sum, for each picture,
            shape (N,): of the pictures as they were before this iteration.

        Raises:
            Diverged: the loss or the picture is no longer finite. The picture is the last good one again, and
                another step may be tried, with other weights for instance.
        """
        self.settings.check()
        if self._objective is None or self.settings.protection != self._protection:
            # What is measured depends on the protection, the targets do not.
            known, protection = self.targets, self.settings.protection
            self._objective = self._with_less_memory(lambda: Objective(self._terms, self._view(self.plan), known))
            self._protection = protection
        self._stepper.follow_settings(_loss_weights(self._terms, self.settings))
        losses = self._evaluate()
        with uninterrupted():
            self._good = self.average  # the iterate it ends with has a finite loss
            with self._ranks.together(interruptible=False):
                self._update(losses["total"].sum())
            self.iterations += 1
            if self.iterations % CHECK_EVERY == 0 and self._ranks.differ(*self._canvas.parameters()):
                self._ranks.follow_first(self.state())
        return losses

    def enlarged(self, start, plan, view, targets=None):
        """The descent that goes on from here at another size; ``start`` is what the canvas's ``resized`` takes."""
        canvas = self.average.resized(*start)
        larger = Descent(canvas, self._terms, self.settings, plan, view, targets, self._stepper.history, self._ranks)
        larger._stepper.take_over(self._stepper)
        larger._scale = self._scale
        return larger

    def state(self):
        """All that :meth:`load` needs to go on from here: nested values and tensors."""
        return {
            "iterations": self.iterations,
            "canvas": self._canvas.state_dict(),
            "average": self.average.state_dict(),
            "weight": self._weight,
            "scale": self._scale,
            "calm": self._calm,
            "stepper": self._stepper.state(),
        }

    def load(self, state):
        """Go on where a descent of the same size was when it gave this :meth:`state`."""
        self._canvas.load_state_dict(state["canvas"])
        self.average.load_state_dict(state["average"])
        self.iterations, self._weight = state["iterations"], state["weight"]
        self._scale, self._calm = state["scale"], state["calm"]
        self._stepper.load(state["stepper"])

    def _evaluate(self):
        """Compute gradients, repeating the backward pass with a smaller scale on overflow; return the losses."""
        half = self._half
        while True:
            losses = self._with_less_memory(self._losses_and_gradient)
            gradients = (p.grad.isfinite().all() for p in self._canvas.parameters() if p.grad is not None)
            total = losses["total"]
            loss, gradient = torch.stack([total.isfinite().all(), torch.stack([*gradients]).all()]).tolist()
            # Only half precision overflows because of the scale.
            if not loss or (not gradient and not (half and self._scale > SMALLEST_SCALE)):
                self._diverge("the gradient is no longer finite" if loss else f"the loss became {total.sum().item()}")
            if gradient:
                break
            self._scale, self._calm = self._scale / 2, 0
        self._calm += 1
        if self._calm >= CALM and self._scale < LARGEST_SCALE and half:
            self._scale, self._calm = self._scale * 2, 0
        return losses

    @property
    def _half(self):
        return self._objective.backbone.dtype == torch.float16

    def _losses_and_gradient(self):
        self._canvas.zero_grad()
        image = self._canvas.image()
        losses = self._objective(image, self.plan)
        losses["total"] = sum(term.weight * losses[name] for name, term in self._terms.items())
        # A loss without a unit changes by about 1/pixels per pixel. Optimizing its product with the number of pixels
        # makes learning rates mean the same at every size and keeps half-precision gradients in range.
        size = image[0, 0].numel() if self.settings.unitless else 1
        (losses["total"].sum() * (size * self._scale)).backward()
        for parameter in self._canvas.parameters():
            if parameter.grad is not None:
                parameter.grad /= self._scale
        return {name: loss.detach() for name, loss in losses.items()}

    def _update(self, total):
        self._stepper.move(total)
        # Clamp after every step: L-BFGS moves far outside [0, 1], and clamping only at the end undoes most of it.
        self._canvas.clamp_()
        if not all(parameter.isfinite().all() for parameter in self._canvas.parameters()):
            self._diverge("the picture is no longer finite")
        average = copy.deepcopy(self._canvas)
        if self._stepper.jitters:
            self._weight = AVERAGING * self._weight + (1 - AVERAGING)
            with torch.no_grad():
                for new, old in zip(average.parameters(), self.average.parameters(), strict=True):
                    torch.lerp(old, new, (1 - AVERAGING) / self._weight, out=new)
        self.average = average

    def _diverge(self, what):
        with uninterrupted():
            self._canvas.load_state_dict(self._good.state_dict())
            self.average, self._weight = self._good, 0.0
            self._stepper.start(_loss_weights(self._terms, self.settings))
        half = self._objective.backbone.dtype in (torch.float16, torch.bfloat16)
        raise Diverged(
            f"{what}: the picture is the last good one. A smaller learning_rate or weight helps"
            + (", or precision='float32'" if half else "")
        )

    def _with_less_memory(self, compute):
        """Run ``compute``; when memory runs out, tile more and run it again."""
        while True:
            try:
                with self._ranks.together():
                    return compute()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                tighter = self.plan if isinstance(error, MemoryElsewhere) else tighten(self.plan)
                if any(self._ranks.gather(int(tighter is None))):  # what one cannot do, the others need not begin
                    raise
                if tighter != self.plan:
                    warnings.warn(f"out of memory with {self.plan}: going on with {tighter}", stacklevel=2)
            # Outside the handler, so that the failed attempt's tensors are gone.
            self.plan = tighter
            self._canvas.zero_grad()
            if torch.cuda.is_initialized():
                torch.cuda.empty_cache()


def _loss_weights(terms, settings):
    """All weights that the total loss depends on, as plain floats, which a checkpoint can hold."""
    weights = (number(f"the weight of {name!r}", term.weight, 0) for name, term in terms.items())
    return (*weights, *settings.layer_weights, settings.protection)
