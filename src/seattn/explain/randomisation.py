"""The model parameter randomisation test (Adebayo et al., NeurIPS 2018), layer by layer."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from seattn.explain.arguments import check_whole
from seattn.explain.cascade import copy_weights, starts, weights_by_step
from seattn.explain.map_pairs import (
    Explain,
    MapSimilarity,
    call_explain,
    compare,
    stack,
    table,
    unrelated,
)
from seattn.explain.randomise import randomised_copy
from seattn.explain.recording import unwrap

__all__ = ["RandomisationTest", "randomisation_test"]


@dataclass(frozen=True)
class RandomisationTest:
    """What became of the maps; ``print`` shows it as a table under the verdict.

    Attributes:
        order: ``"cascade"`` or ``"independent"``.
        steps: By module, in the order of the steps, the maps against those of the trained network;
            ``(draws, N)``. In a cascade, all modules above are randomised too.
        whole: The same with the whole network randomised. The verdict rests on it.
        unrelated: Pairs of maps of different images, from the trained network; (pairs,).
        used_network: Whether ``explain`` ran any module of the network that it was given.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from seattn.explain import randomisation_test
        >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 1, 3))
        >>> edges = lambda model, x: x.diff(dim=-1).abs().squeeze(1)  # ignores the network
        >>> images = torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(0))
        >>> test = randomisation_test(model, edges, images, seed=0)
        >>> test.passed, test.verdict.split(" (")[0]
        (False, 'Failed: the maps survive random weights')
        >>> for line in str(test).splitlines()[2:6]:
        ...     print(line)
                                  rank corr.   |rank corr.|  SSIM          undefined
        from the head to 2        1.00 ± 0.00  1.00          1.00 ± 0.00   0 of 24
        from the head to 0        1.00 ± 0.00  1.00          1.00 ± 0.00   0 of 24
        the whole network         1.00 ± 0.00  1.00          1.00 ± 0.00   0 of 24
    """

    order: str
    steps: Mapping[str, MapSimilarity]
    whole: MapSimilarity
    unrelated: MapSimilarity
    used_network: bool

    @property
    def limits(self) -> tuple[float, float]:
        """The size of the rank correlation and the SSIM that 95 % of unrelated pairs stay below."""
        rho, ssim = self.unrelated.rank_correlation.abs(), self.unrelated.ssim
        return rho.nanquantile(0.95).item(), ssim.nanquantile(0.95).item()

    @property
    def passed(self) -> bool:
        """Whether the maps fell to the level of unrelated maps; see ``randomisation_test``."""
        return self._finding()[0]

    @property
    def verdict(self) -> str:
        """The finding in words, with its numbers."""
        text = self._finding()[1]
        return text if self.used_network else f"{text} `explain` did not run the network it got."

    def to_dict(self) -> dict[str, object]:
        """The test in types that JSON has; nan becomes ``None``."""
        return {
            "order": self.order,
            "steps": {name: step.to_dict() for name, step in self.steps.items()},
            "whole": self.whole.to_dict(),
            "unrelated": self.unrelated.to_dict(),
            "used_network": self.used_network,
            "passed": self.passed,
            "verdict": self.verdict,
        }

    def __str__(self) -> str:
        """The verdict, and a row for each step."""
        kind = "from the head to" if self.order == "cascade" else "only"
        rows = {f"{kind} {name}": step for name, step in self.steps.items()}
        rows |= {"the whole network": self.whole, "maps of different images": self.unrelated}
        return f"{self.verdict}\n\n{table(rows)}"

    def _finding(self) -> tuple[bool, str]:
        if self.unrelated.defined == 0:
            return False, "Failed: the maps of the trained network are blank."
        if self.whole.defined < 0.5:
            return False, (
                f"Undecided: with random weights, {1 - self.whole.defined:.0%} of the maps are "
                "blank. Try signed maps."
            )
        size = self.whole.rank_correlation.abs().nanmean().item()
        ssim = self.whole.ssim.nanmean().item()
        most_size, most_ssim = self.limits
        numbers = (
            f"|rank corr.| {size:.2f}, SSIM {ssim:.2f}; 95 % of unrelated pairs stay below "
            f"{most_size:.2f} and {most_ssim:.2f}"
        )
        if size >= 0.5:
            text = f"Failed: the maps survive random weights ({numbers})."
            if self.unrelated.rank_correlation.abs().nanmean() >= 0.5:
                text += (
                    " Maps of different images are alike, too: few cells, or blind to the image."
                )
            return False, text
        if size <= most_size and ssim <= most_ssim:
            return True, f"Passed: random weights leave maps like unrelated ones ({numbers})."
        return False, (
            f"Partly: random weights change the maps, but another image would change them more "
            f"({numbers})."
        )


@torch.inference_mode(mode=False)  # and gradients on: `explain` may need them
def randomisation_test(
    model: nn.Module,
    explain: Explain,
    x: Tensor,
    *,
    seed: int,
    order: Literal["cascade", "independent"] = "cascade",
    modules: Sequence[str] | None = None,
    draws: int = 3,
) -> RandomisationTest:
    """Randomise a network layer by layer, and see whether its maps change as they must.

    A map that stays when the weights are random shows the image, not what the network has learnt.
    The cascade starts at the head and goes on towards the input, each step with all earlier ones
    kept; ``order="independent"`` randomises one module at a time.

    The rule: the test is passed if, with the whole network randomised, the mean size of the rank
    correlation with the trained network's maps is below 0.5, and neither it nor the mean SSIM
    exceeds what 95 % of pairs of maps of *different* images stay below. The size counts, since a
    map turned upside down is no unrelated map. If more than half of the pairs have a blank map,
    nothing is decided and the test is not passed.

    For Grad-CAM, name the layer, and fix the classes to those of the trained network; a random one
    would predict, and explain, another class::

        target = model(x).argmax(1)
        randomisation_test(
            model, lambda m, x: GradCAM(m, "layer4")(x, target=target), x, seed=0
        )

    In its table the steps down to the target layer change the weights of the channels only. The
    activations come from the modules before that layer, so the maps may stay alike until the
    cascade has reached those. Networks with random weights often give blank rectified maps; signed
    ones (``explain(...).raw``, interpolated) can always be compared.

    Args:
        model: Any module that takes ``x``. The test works on copies in eval mode, and leaves the
            model and torch's random state as they were.
        explain: Any attribution method, a function from a network and images to maps
            ``(N, *spatial)`` with sides of at least 11. It must use the network that it is given.
            Each call finds the same torch random state.
        x: Images, ``(N, C, *spatial)``, two or more; 20 are better.
        seed: Seed of the random weights and of the pairs; draw ``d`` is
            ``randomised_copy(model, seed + d)``.
        order: ``"cascade"`` or ``"independent"``.
        modules: Names, or one name, of the modules that are randomised, each with all below it;
            stages make for short tables, and few calls of ``explain``. By default every module with
            weights of its own. They are taken in the reverse of the order in which the forward pass
            starts them; shared weights change in the first step that has them. Weights of a module
            that never runs itself belong to the one around it.
        draws: How many random networks. One draw is one sample of the weights, however many the
            images.

    Returns:
        The similarities of each step, and the verdict.

    Raises:
        ValueError: There are too few images, ``explain`` does not return one map for each, the
            maps are too small, or a module has no weights, does not run, or is not there.
        TypeError: ``explain`` returns no tensor.

    References:
        Adebayo, Gilmer, Muelly, Goodfellow, Hardt, Kim, "Sanity Checks for Saliency Maps",
        NeurIPS 2018; Arun et al., "Assessing the Trustworthiness of Saliency Maps for Localizing
        Abnormalities in Medical Imaging", Radiology: Artificial Intelligence 3(6), 2021: the
        comparison with pairs of unrelated maps.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from seattn.explain import randomisation_test
        >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 1, 3))
        >>> edges = lambda model, x: x.diff(dim=-1).abs().squeeze(1)  # ignores the network
        >>> test = randomisation_test(model, edges, torch.rand(8, 1, 16, 16), seed=0)
        >>> list(test.steps), test.passed
        (['2', '0'], False)
    """
    if order not in {"cascade", "independent"}:
        raise ValueError(f"`order` (={order!r}) must be 'cascade' or 'independent'")
    check_whole("draws", draws, least=1)
    check_whole("seed", seed, least=0)
    trained = copy.deepcopy(unwrap(model)).eval()
    steps = weights_by_step(trained, x, modules)
    with starts(trained) as started:
        original = call_explain(explain, trained, x, seed=seed)
    found: dict[str, list[MapSimilarity]] = {name: [] for name in steps}
    whole = []

    def change(network: nn.Module) -> MapSimilarity:
        return compare(original, call_explain(explain, network, x, seed=seed))

    baseline = unrelated(original, seed=seed)
    for draw in range(draws):
        random = randomised_copy(trained, seed + draw)
        work = copy.deepcopy(trained)
        for name, weights in steps.items():
            copy_weights(weights, random, work)
            found[name].append(change(work))
            if order == "independent":
                copy_weights(weights, trained, work)
        whole.append(change(random))
    return RandomisationTest(
        order,
        {name: stack(draws_of) for name, draws_of in found.items()},
        stack(whole),
        baseline,
        bool(started),
    )
