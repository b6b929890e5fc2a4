"""Part of the report: what is weak or left open in the paper, and what each protocol does about it.

Wang et al., doi 10.1186/s12891-024-07355-8.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from examples.ankle_fracture.config import Config
from examples.ankle_fracture.findings import Findings
from examples.ankle_fracture.report import html
from examples.ankle_fracture.report.part import Part

__all__ = ["WEAKNESSES", "Weakness", "part"]


@dataclass(frozen=True)
class Weakness:
    """One weakness.

    Args:
        problem: What is weak, contradictory or open.
        paper: What the paper's protocol does here.
        sound: What the sound protocol does.
        choices: Fields of the configuration that decide it; none where no field does.
    """

    problem: str
    paper: str
    sound: str
    choices: tuple[str, ...] = ()


SAME = "the same"
WEAKNESSES = (
    Weakness(
        "792 validation and 792 test images are 198 each with three altered copies",
        "copies in all parts, counted as images",
        "training images alone are altered, anew each epoch",
        ("copies", "online"),
    ),
    Weakness(
        "results by image; how many patients is not said",
        "by image",
        "by image with patients as clusters, and by patient",
        ("patient_level",),
    ),
    Weakness(
        "no table of 51 fractured and 147 normal test images gives the printed accuracy, recall "
        "and F1; they fit a test that is about half fractured",
        "what comes out is reported",
        "the same, with the counts behind every share",
    ),
    Weakness(
        "training accuracy of figure 4a and test accuracy of 4b agree to two decimals in all "
        "three networks",
        "both are reported",
        SAME,
    ),
    Weakness(
        "accuracy after the first epoch is below that of always saying normal, 0.742",
        "curves beside that line",
        SAME,
    ),
    Weakness(
        "claims of superiority from one training, without interval or test",
        "neither interval nor test",
        "clustered intervals, paired tests, five seeds or more",
        ("inference", "seeds"),
    ),
    Weakness(
        "with 198 test images the networks differ by about 8: accuracy 0.93 has the interval "
        "0.885 to 0.957, 0.89 has 0.838 to 0.925",
        "-",
        "an interval beside every estimate",
        ("inference",),
    ),
    Weakness(
        "255 fractured to 732 normal, and nothing done about it",
        "plain cross entropy",
        "classes weigh the same; predictions are corrected back to the true shares",
        ("class_weights",),
    ),
    Weakness(
        "the threshold is not stated",
        "0.5",
        "chosen on validation, applied once to the test",
        ("operating_points",),
    ),
    Weakness(
        "which class is positive, and how classes are averaged, is not stated",
        "the fracture is positive",
        "the same; the positive class is named",
    ),
    Weakness("radiographs in the abstract, CT elsewhere", "CT", SAME),
    Weakness("three views without names", "axial, coronal, sagittal", SAME),
    Weakness(
        "resized to 224 by a library that does not resize",
        "bilinear, antialiased",
        SAME,
        ("size",),
    ),
    Weakness(
        "scaled to 0..1, from which range is not said",
        "each image's own range",
        "one window in HU for all, so that grey keeps its meaning",
        ("window",),
    ),
    Weakness(
        "how the mask of the bones is made is not said",
        "above 150 HU, closed, filled, dilated; black outside",
        "none",
        ("bone_mask",),
    ),
    Weakness(
        "Gaussian noise of unknown size, on all images",
        "SD 0.01, all parts",
        "SD 0.01, training alone",
        ("noise", "noise_on"),
    ),
    Weakness(
        "ranges of the augmentation are not stated",
        "15 degrees, 10 % of size, 20 % of contrast",
        "the same with mirroring",
        ("rotation", "scaling", "contrast", "flips"),
    ),
    Weakness(
        "'more than five epochs' on a plateau can mean the fifth or the sixth; which epoch's "
        "weights are kept is not said",
        "the sixth; weights of the last epoch",
        "the sixth; weights of the best validation loss",
        ("patience", "checkpoint"),
    ),
    Weakness(
        "pretrained or not, and how three colours became one, is not said",
        "from scratch, one channel",
        "the same, or weights summed over the colours",
        ("weights",),
    ),
    Weakness("EfficientNet-B5 at 224 pixels, made for 456", "224", SAME, ("size",)),
    Weakness("the reduction of SE is not stated", "16", SAME),
    Weakness(
        "SE before or after the addition: the text can be read both ways",
        "on the residual branch before the addition, as SENet's standard",
        SAME,
    ),
    Weakness(
        "two layers are said to squeeze and to excite; the squeeze is the pooling before them, and "
        "its channels are not the image's one channel",
        "SE as SENet defines it",
        SAME,
    ),
    Weakness(
        "'final convolutional layer' is ambiguous where an SE block holds 1x1 convolutions",
        "output of the last stage",
        SAME,
    ),
    Weakness(
        "heat maps of the predicted class alone: that of a missed fracture explains 'normal'",
        "predicted class",
        "predicted class and the image's own",
        ("cam_targets",),
    ),
    Weakness(
        "one image as the proof of the heat maps, and a missed area taken for underfitting",
        "all annotated test images, beside controls",
        SAME,
    ),
    Weakness(
        "Grad-CAM's rectifier is ascribed to CAM, one paper has two entries in the references, and "
        "two entries give the same figures",
        "sources named in the documentation",
        SAME,
    ),
    Weakness(
        "validation drives the step size; whether the test took part in choices is not said",
        "test looked at once; hash of the split",
        SAME,
    ),
    Weakness(
        "images chosen by quality; no flow, dates, scanners, patients or readers' agreement",
        "cannot be mended; the checklist says what is missing",
        SAME,
    ),
    Weakness(
        "SE is said to improve precision; no figure is given",
        "precision (PPV) is reported",
        "the same, and SE is tested in pairs",
    ),
)


def part(findings: Findings) -> Part:
    """The weaknesses as a table with the run's own choices."""
    rows = [asdict(each) | {"run": _run(each, findings.config)} for each in WEAKNESSES]
    cells = [
        (str(number), row["problem"], row["paper"], row["sound"], row["run"])
        for number, row in enumerate(rows, 1)
    ]
    head = ("", "weak or open in the paper", "paper protocol", "sound protocol", "this run")
    caption = (
        "What Wang et al. 2024 leave open or do weakly. The last column has the run's own choice "
        f"where one decides; this run started from the protocol '{findings.config.protocol}'."
    )
    table = html.table(head, cells, caption=caption)
    return Part("Weaknesses of the paper", [table], {"weaknesses": rows})


def _run(weakness: Weakness, config: Config) -> str:
    """The run's values of the choices that decide; "" where none does."""
    return "; ".join(f"{name}: {_value(getattr(config, name))}" for name in weakness.choices)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value)
