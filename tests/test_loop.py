"""The training loop: the plain loop that it stands for, its schedule, its checkpoints, its log."""

import itertools
import math

import pytest
import torch
from torch import nn
from torch.optim import swa_utils

from nstlib import Diverged, InputError
from nstlib.training.command import make_parser, prepare, run
from nstlib.training.loop import TrainingState, TrainingStep, cosine, train, warm_up


class Regression:
    """A line through points that are drawn anew in every step."""

    def __init__(self, checkpoint=None, save_every=2):
        self.state = TrainingState(0, checkpoint, save_every)
        model = nn.Linear(1, 1)
        nn.init.ones_(model.weight)
        nn.init.zeros_(model.bias)
        average = swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.5))
        self.state.start(model, torch.optim.Adam(model.parameters()), average=average)
        self.state.resume()

    def losses(self):
        x = torch.tensor([[self.state.rng.random()] for _ in range(8)])
        error = self.state.model(x) - 3 * x - 1
        return {"near": error.clamp(-1, 1).square().mean(), "far": error.abs().mean()}

    def steps(self, until=9):
        return train(self.state, self.losses, until=until, rate=lambda step: 0.1 / (step + 1), clip=0.5)

    @property
    def weights(self):
        parameters = [*self.state.model.parameters(), *self.state.average.parameters()]
        return torch.cat([parameter.detach().flatten() for parameter in parameters])


def test_it_is_the_plain_loop():
    found, plain = Regression(), Regression()
    steps = list(found.steps())
    optimizer = plain.state.optimizer
    for number, step in enumerate(steps, 1):
        losses = plain.losses()
        optimizer.param_groups[0]["lr"] = 0.1 / number
        optimizer.zero_grad()
        (losses["near"] + losses["far"]).backward()
        gradients = [parameter.grad for parameter in plain.state.model.parameters()]
        norm = math.sqrt(sum(gradient.square().sum().item() for gradient in gradients))
        for gradient in gradients:
            gradient *= min(1, 0.5 / norm)
        optimizer.step()
        plain.state.average.update_parameters(plain.state.model)
        assert step.step == number
        assert step.losses == {name: pytest.approx(loss.item()) for name, loss in losses.items()}
        assert step.seconds >= 0
    torch.testing.assert_close(found.weights, plain.weights)


def test_it_stops_and_goes_on():
    run, whole = Regression(), Regression()
    first = [step.step for step in itertools.islice(run.steps(), 3)]
    assert first + [step.step for step in run.steps(5)] + [step.step for step in run.steps()] == [*range(1, 10)]
    assert list(run.steps()) == []
    list(whole.steps())
    assert torch.equal(run.weights, whole.weights)


@pytest.mark.parametrize(("stop", "saved"), [(1, 0), (5, 4), (6, 6)])
def test_it_resumes_to_the_bit(tmp_path, stop, saved):
    whole = Regression()
    losses = [step.losses for step in whole.steps()]
    list(itertools.islice(Regression(tmp_path / "state.pt").steps(), stop))
    resumed = Regression(tmp_path / "state.pt")
    assert resumed.state.step == saved
    assert [step.losses for step in resumed.steps()] == losses[saved:]
    assert torch.equal(resumed.weights, whole.weights)
    assert Regression(tmp_path / "state.pt").state.step == 9  # saved at the end, whatever save_every is


def test_a_gradient_that_is_not_finite_moves_nothing(tmp_path):
    run = Regression()
    list(run.steps(3))
    before = run.weights
    infinite = train(
        run.state, lambda: {"loss": run.state.model(torch.ones(1, 1)).sum() / 0}, until=9, rate=lambda step: 1, clip=1
    )
    with pytest.raises(Diverged, match="NaN or infinite at step 4: lower learning_rate"):
        next(infinite)
    assert torch.equal(run.weights, before)
    assert run.state.step == 3


def test_other_checkpoints_are_refused(tmp_path):
    path = tmp_path / "state.pt"
    list(Regression(path).steps(1))
    state = TrainingState(0, path, 1)
    model = nn.Linear(2, 2)
    state.start(model, torch.optim.Adam(model.parameters()))
    with pytest.raises(InputError, match="state.pt is not a checkpoint of this training: Error"):
        state.resume()


def test_log_has_running_means(tmp_path):
    class Training:
        LOSSES = ("early", "late")
        exported = None

        def __iter__(self):
            for step in range(1, 120):
                yield TrainingStep(step, {"early": float(step == 1)} | ({"late": 2.0} if step > 60 else {}), 0.5)

        def export(self, path, description):
            self.exported = path, description

    parser = make_parser("nstlib.training.none", "Train nothing.", steps=119)
    options = parser.parse_args(["folder", "--log", str(tmp_path / "log.csv"), "-o", str(tmp_path / "w")])
    training = Training()
    prepare(options, str(tmp_path / "default"))
    run(training, options, {"made by": "a test"})
    early = 0.98**49
    assert (tmp_path / "log.csv").read_text().splitlines() == [
        f"50,{early:.6f},nan,0.50",
        f"100,{early * 0.98**50:.6f},2.000000,0.50",
    ]
    assert training.exported == (tmp_path / "w", {"made by": "a test"})
    assert options.checkpoint == tmp_path / "default.pt"


def test_schedule():
    assert [warm_up(step, 4) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    assert [cosine(step, 4) for step in (0, 1, 2, 4)] == pytest.approx([1, 0.5 + 0.125**0.5, 0.5, 0])
