import pytest
import torch
from torch import Tensor, nn

from instantstyle.training.critic import Critic, PatchDiscriminator


class Scores(nn.Module):
    """The mean of a picture, by a factor that can be learnt."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, pictures: Tensor, codes: Tensor) -> Tensor:
        return self.factor * pictures.mean(dim=(1, 2, 3))


def test_losses_are_hinges() -> None:
    critic = Critic(4, 1e-2, torch.device("cpu"))
    critic.network = scores = Scores()  # type: ignore[assignment]
    critic.optimizer = torch.optim.SGD(scores.parameters(), lr=0.1)  # type: ignore[assignment]
    painted = torch.tensor([-0.5, 0.25])[:, None, None, None].expand(2, 3, 4, 4).clone().requires_grad_()
    taught = torch.tensor([2.0, 0.75])[:, None, None, None].expand(2, 3, 4, 4)
    loss = critic.fool(painted, taught, torch.zeros(2, 4))
    loss.backward()
    assert loss.item() == pytest.approx(0.125)
    assert painted.grad is not None and painted.grad.sum().item() == pytest.approx(-1)
    # max(0, 1 - 2) and max(0, 1 - 0.75) of the teacher's, 1 - 0.5 and 1 + 0.25 of the painted ones.
    assert critic.learn() == pytest.approx(0.125 + 0.875)
    # Its gradient is theirs alone: -0.75 / 2 and (-0.5 + 0.25) / 2.
    assert scores.factor.item() == pytest.approx(1 + 0.1 * (0.375 + 0.125))
    assert critic.learn() == 0  # nothing new was seen


def test_score_looks_at_22_pixels() -> None:
    torch.manual_seed(0)
    network = PatchDiscriminator(6).eval()
    picture = torch.rand(1, 3, 96, 96, requires_grad=True)
    scores = network(picture, torch.randn(1, 6))
    assert scores.shape == (1, 1, 12, 12)
    (gradient,) = torch.autograd.grad(scores[0, 0, 6, 6], picture)
    rows = gradient.abs().sum(dim=(0, 1, 3)).nonzero()[:, 0]
    assert rows[-1] - rows[0] + 1 == 22


def test_it_learns_to_tell_a_blur_from_a_texture_in_one_style_and_not_in_the_other() -> None:
    torch.manual_seed(0)
    critic = Critic(2, 2e-3, torch.device("cpu"))
    codes = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    losses = []
    for _ in range(120):
        noise = torch.rand(2, 3, 32, 32) * 2 - 1
        flat = torch.zeros(2, 3, 32, 32)
        # In the second style the teacher paints flat and the network a texture.
        taught, painted = torch.stack((noise[0], flat[1])), torch.stack((flat[0], noise[1]))
        critic.fool(painted, taught, codes)
        losses.append(critic.learn())
    assert losses[0] > 1.5 and sum(losses[-10:]) / 10 < 0.5
