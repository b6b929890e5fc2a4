"""What a shortcut does to the networks: casts that go with fractures in training, not in the test.

The test patients are seen twice. As trained: their casts are dealt as in training, which is what a
study of one hospital would report. In the test: the same ankles, with casts that tell nothing.
Weights, calibration and thresholds are those that the confounded validation images fixed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from examples.ankle_fracture.comparisons import metrics_of
from examples.ankle_fracture.config import Config
from examples.ankle_fracture.contestant import Result
from examples.ankle_fracture.evaluation import Level, evaluate
from examples.ankle_fracture.findings import Replicate
from examples.ankle_fracture.items import Items
from examples.ankle_fracture.repetitions import t_interval
from examples.ankle_fracture.training import predict
from seattn.data import DicomDataset
from seattn.explain import GradCAM, chance_level, mass_in_mask, randomised_copy
from seattn.metrics import Comparison, Estimate, paired_bootstrap, share_interval

__all__ = ["Called", "OnCasts", "Shortcut", "maps_of", "shortcuts"]


@dataclass(frozen=True)
class Called:
    """How many test images are called fractured, of those that agree in fracture and cast.

    Args:
        fractured: Whether these images have another class than the first.
        cast: Whether they show a cast.
        share: Of them that the network gives another class than the first.
    """

    fractured: bool
    cast: bool
    share: Estimate


@dataclass(frozen=True)
class OnCasts:
    """The share of the heat maps that lies on the cast, mean of images that show one.

    Args:
        fractured: Whether these images have another class than the first.
        images, patients: How many.
        blank: Maps that are 0 everywhere; their share counts as 0.
        mass: Of the network's maps.
        randomised: Of the maps of the network with random weights.
        area: Share of the image that the cast covers: what a map without structure would have.
        excess: ``mass - area``, mean of patients.
        low, high: 95 % interval of the excess over patients by Student's t; nan below two.
    """

    fractured: bool
    images: int
    patients: int
    blank: int
    mass: float
    randomised: float
    area: float
    excess: float
    low: float
    high: float


@dataclass(frozen=True)
class Shortcut:
    """What one network came to on the test patients with casts as in training.

    Args:
        title: As it stands in the report.
        levels: Results by "image" and perhaps "patient".
        differences: By level and metric: the test less these results, by patient.
        called: In the test, by fracture and cast.
        on_casts: In the test, of fractured and other images.
    """

    title: str
    levels: dict[str, Level]
    differences: dict[str, dict[str, Comparison]]
    called: list[Called]
    on_casts: list[OnCasts]


def shortcuts(replicate: Replicate, config: Config) -> dict[str, Shortcut]:
    """What each network of a seed came to, by its name; nothing without a confounder."""
    cohort = replicate.cohort
    if cohort.confounded_test is None:
        return {}
    items = Items(cohort.confounded_test, config, training=False, seed=replicate.seed)
    return {
        name: _shortcut(result, replicate, items, config)
        for name, result in replicate.results.items()
    }


def _shortcut(result: Result, replicate: Replicate, items: Items, config: Config) -> Shortcut:
    cohort = replicate.cohort
    probabilities = result.decision.probabilities(predict(result.network, items))
    levels = evaluate(probabilities, items, result.decision, config, cohort.class_names)
    return Shortcut(
        result.title,
        levels,
        {
            level: _differences(found, levels[level], seed=replicate.seed)
            for level, found in result.levels.items()
        },
        _called(result.levels["image"], cohort.test, cohort.casts),
        [] if cohort.casts is None else _on_casts(result, cohort.casts, seed=replicate.seed),
    )


def _differences(test: Level, as_trained: Level, *, seed: int) -> dict[str, Comparison]:
    """Every metric in the test less the same with casts as in training, of the same patients."""
    others = metrics_of(as_trained)
    return {
        metric: paired_bootstrap(
            metric,
            y_true=y_true,
            y_score_a=score,
            y_score_b=others[metric][1],
            patients=test.cases.patients,
            threshold=threshold,
            seed=seed,
        )
        for metric, (y_true, score, threshold) in metrics_of(test).items()
    }


def _called(test: Level, dataset: DicomDataset, casts: DicomDataset | None) -> list[Called]:
    worn = {row.path for row in casts.index.rows} if casts else set()
    shown = np.array([row.path in worn for row in dataset.index.rows])
    shown = np.repeat(shown, len(test.cases.y_true) // len(shown))
    found = []
    for fractured in (True, False):
        for cast in (True, False):
            these = ((test.cases.y_true > 0) == fractured) & (shown == cast)
            if these.any():
                flags, patients = test.predicted()[these] > 0, test.cases.patients[these]
                found.append(Called(fractured, cast, share_interval(flags, patients=patients)))
    return found


def maps_of(result: Result, dataset: DicomDataset, *, seed: int | None = None) -> torch.Tensor:
    """Grad-CAM of all images: of two classes the second, of more the predicted one.

    Args:
        result: The network, and where to look.
        dataset: The images.
        seed: With one, the network's weights are drawn anew.
    """
    network = result.network if seed is None else randomised_copy(result.network, seed)
    device = next(network.parameters()).device
    cam = GradCAM(network, result.target_layer)
    target = 1 if result.probabilities["test"].shape[1] == 2 else None
    batches = dataset.loader(64)
    return torch.cat([cam(batch.image.to(device), target=target).cpu() for batch in batches])


def _on_casts(result: Result, casts: DicomDataset, *, seed: int) -> list[OnCasts]:
    mask = casts.batch(range(len(casts))).mask[:, 0] == 1
    mass = mass_in_mask(maps_of(result, casts), mask)
    random = mass_in_mask(maps_of(result, casts, seed=seed), mask).nan_to_num(0)
    area = chance_level(mask)
    labels = np.array([row.label for row in casts.index.rows])
    patients = np.array([row.patient for row in casts.index.rows])
    found = []
    for fractured in (True, False):
        # A thin cast may vanish where images are made smaller.
        these = torch.from_numpy((labels > 0) == fractured) & mask.any(-1).any(-1)
        if not these.any():
            continue
        who, own = patients[these.numpy()], mass[these].nan_to_num(0)
        excess = _by_patient(own - area[these], who)
        low, high = t_interval(excess) if len(excess) > 1 else (float("nan"),) * 2
        found.append(
            OnCasts(
                fractured,
                len(who),
                len(excess),
                int(mass[these].isnan().sum()),
                float(own.mean()),
                float(random[these].mean()),
                float(area[these].mean()),
                float(np.mean(excess)),
                low,
                high,
            )
        )
    return found


def _by_patient(values: torch.Tensor, patients: Sequence[str] | np.ndarray) -> list[float]:
    """The mean of each patient."""
    of: Mapping[str, list[float]] = {each: [] for each in patients}
    for who, value in zip(patients, values.tolist(), strict=True):
        of[who].append(value)
    return [sum(each) / len(each) for each in of.values()]
