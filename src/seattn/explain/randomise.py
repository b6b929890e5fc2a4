"""The control that a saliency map must fail: the same network with random weights."""

import copy

import torch
from torch import nn

from seattn.explain.arguments import check_whole
from seattn.explain.recording import unwrap

__all__ = ["randomised_copy"]


def randomised_copy(model: nn.Module, seed: int) -> nn.Module:
    """Return a copy of a model that has learnt nothing.

    A map that looks the same for the copy does not explain what the model has learnt. Every module
    with ``reset_parameters`` is initialised anew by it: convolutions and linear layers draw new
    weights, normalisation layers return to weight 1 and bias 0, and BatchNorm to the running mean 0
    and variance 1. Parameters that belong to other modules are drawn from a normal distribution
    with their own mean and standard deviation; a constant one therefore stays.

    Args:
        model: Any module; it and the global random state are left alone.
        seed: Seed of the draws, 0 or more; one seed gives one copy.

    Returns:
        A copy with the same device, dtype and training flags.

    Raises:
        ValueError: ``seed`` is not such a number.

    References:
        Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018: the model parameter
        randomisation test.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from seattn.explain import randomised_copy
        >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
        >>> other = randomised_copy(model, seed=0)
        >>> torch.equal(model[0].weight, other[0].weight)
        False
    """
    check_whole("seed", seed, least=0)
    random = copy.deepcopy(unwrap(model))
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())), torch.no_grad():
        torch.manual_seed(~seed)  # `seed` itself may have built the model, and would do so again
        for module in random.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
                continue
            for parameter in module.parameters(recurse=False):
                deviation, mean = torch.std_mean(parameter, correction=0)
                parameter.copy_(mean + deviation * torch.randn_like(parameter))
    return random
