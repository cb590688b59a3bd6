import torch

from campaigns.goals import Constraint, Objective
from optimizer.acquisition.discovery import Discovery, log_feasibility
from optimizer.objective import CampaignObjective

GAP = CampaignObjective(
    (("heat_ev_atom", Objective(goal="minimize")),),
    (("gap_ev", Constraint(min=1, max=4)), ("heat_ev_atom", Constraint(max=0.5))),
)


def _row(gap: float, heat: float, success: float = 1.0) -> list[float]:
    return [gap, heat, success]


def test_probability_is_that_of_all_bounds_together():
    mean, sd = torch.tensor([_row(2.5, 0.0)]).double(), torch.tensor([_row(1.0, 0.5, 0.25)]).double()
    normal = torch.distributions.Normal(0.0, 1.0)
    inside = 2 * normal.cdf(torch.tensor(1.5)) - 1
    expected = (inside * normal.cdf(torch.tensor(1.0)) * normal.cdf(torch.tensor(2.0))).log()
    assert torch.allclose(log_feasibility(mean, sd, GAP), expected.double())


def test_far_outside_the_nearer_crystal_still_comes_first():
    mean = torch.tensor([_row(90.0, 0.0), _row(60.0, 0.0), _row(-80.0, 0.0)]).double()
    scores = log_feasibility(mean, torch.full((3, 3), 0.1).double(), GAP)
    assert scores.argsort(descending=True).tolist() == [1, 2, 0]
    assert torch.isfinite(scores).all()


def test_it_collects_what_is_feasible_where_improvement_would_look_elsewhere():
    """A sure find of little merit goes before an unlikely one of much."""
    from types import SimpleNamespace

    from optimizer.protocols import ProposalContext

    mean = torch.tensor([_row(2.5, 0.3), _row(2.5, -2.0)]).double()
    sd = torch.tensor([_row(0.3, 0.1, 0.1), _row(3.0, 0.1, 0.1)]).double()
    posterior = SimpleNamespace(mean=mean, variance=sd.square())
    fitted = SimpleNamespace(model=SimpleNamespace(posterior=lambda x: posterior))
    context = ProposalContext(
        pool=torch.zeros(2, 1).double(),
        observed_z=torch.zeros(0, 1).double(),
        pending=torch.zeros(0, 1).double(),
        device=torch.device("cpu"),
        space=None,
    )
    assert Discovery().propose(fitted, GAP, context, q=1, seed=0).tolist() == [0]
