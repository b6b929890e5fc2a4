"""Part of the report: every item of the reporting guidelines, and where this report answers it.

CLAIM 2024 (Radiology: Artificial Intelligence 6(4):e240300), TRIPOD+AI (BMJ 385:e078378, 2024) and
STARD-AI (Nature Medicine 31:3283, 2025), their items by number, in our own words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from examples.ankle_fracture.findings import Findings
from examples.ankle_fracture.report import answers, html
from examples.ankle_fracture.report.answers import Answer
from examples.ankle_fracture.report.part import Part

__all__ = ["ITEMS", "Item", "part"]


@dataclass(frozen=True)
class Item:
    """One row of the checklist.

    Args:
        element: What is to be reported.
        claim, tripod, stard: Numbers of the items of the three guidelines; "" for none.
        answer: What a run says.
        words: The section is the first whose title holds one of these, in this order.
        needs: Whether the item is answered by a section alone: without one it is not answered.
    """

    element: str
    claim: str
    tripod: str
    stard: str
    answer: Callable[[Findings], Answer]
    words: tuple[str, ...]
    needs: bool = False


ITEMS = (
    Item(
        "Flow of patients and images, exclusions, by part",
        "35",
        "20a, 21",
        "24",
        answers.flow,
        ("flow", "patients"),
    ),
    Item(
        "Characteristics of each part",
        "36",
        "20b, 20c",
        "25, 26a, 26b",
        answers.characteristics,
        ("characteristics", "patients"),
    ),
    Item(
        "Source, dates, synthetic or real, de-identification",
        "7, 11",
        "5a, 5b",
        "11, 13",
        answers.source,
        ("patients",),
    ),
    Item(
        "Acquisition and pre-processing with every parameter",
        "9, 13",
        "7",
        "14",
        answers.pre_processing,
        ("pre-processing", "protocol"),
    ),
    Item(
        "Reference standard and annotators",
        "14-18",
        "8a-c",
        "12, 16a-c",
        answers.reference_standard,
        ("patients",),
    ),
    Item(
        "How parts were made; no patient in two, with a hash",
        "19, 20",
        "12a",
        "15b",
        answers.partition,
        ("how it was made",),
    ),
    Item(
        "Justification of the test's size",
        "21",
        "10",
        "22",
        answers.test_size,
        ("limitations",),
    ),
    Item(
        "Model, versions, start, training, selection, seeds",
        "22-27",
        "12c, 22",
        "15a, 15b",
        answers.model,
        ("training", "how it was made"),
    ),
    Item(
        "Classes of unequal size; recalibration",
        "19",
        "13",
        "",
        answers.imbalance,
        ("protocol",),
    ),
    Item(
        "Threshold: value, where it was chosen, beforehand or not",
        "28",
        "15",
        "15c",
        answers.threshold,
        ("results",),
    ),
    Item(
        "Confusion tables by image and patient",
        "39",
        "23a",
        "30",
        answers.confusion,
        ("confusion", "results"),
    ),
    Item(
        "Every estimate with an interval, its method, clusters",
        "29, 38",
        "12d, 12e, 23a",
        "18, 31",
        answers.estimates,
        ("results",),
    ),
    Item(
        "Discrimination, calibration, net benefit",
        "28",
        "12e, 23a",
        "",
        answers.discrimination,
        ("calibration", "curves", "results"),
    ),
    Item(
        "Models compared on the same cases, test named",
        "28, 29",
        "12e",
        "18",
        answers.comparison,
        ("compared",),
    ),
    Item(
        "Subgroups",
        "30, 37",
        "14, 23a",
        "21, 23",
        answers.subgroups,
        ("subgroup",),
        needs=True,
    ),
    Item(
        "How decisions are explained, and whether that was validated",
        "31",
        "",
        "",
        answers.explainability,
        ("networks look", "heat map"),
    ),
    Item(
        "Failures, with images",
        "39",
        "",
        "23",
        answers.failures,
        ("failure", "worst", "mistake", "wrong"),
        needs=True,
    ),
    Item(
        "Missing, unreadable and indeterminate inputs",
        "12",
        "11, 27a",
        "19, 20",
        answers.missing,
        ("patients",),
    ),
    Item(
        "Internal or external test",
        "32, 33",
        "16",
        "28, 29",
        answers.internal_or_external,
        ("limitations",),
    ),
    Item(
        "Limitations and intended use",
        "40, 41",
        "26, 27",
        "33, 34",
        answers.limits,
        ("limitations",),
    ),
    Item(
        "Data, code and outputs that can be audited",
        "43",
        "18e, 18f",
        "40a, 40b",
        answers.availability,
        ("how it was made",),
    ),
)


def part(findings: Findings, others: Sequence[Part]) -> Part:
    """The checklist, made of the run and of the other parts.

    Args:
        findings: Of the run.
        others: All other parts of the report.
    """
    titles = [other.title for other in others]
    rows, cells = [], []
    for number, item in enumerate(ITEMS, 1):
        title, answer = _section(item, titles), item.answer(findings)
        if item.needs and title is None:
            text = f"Not answered by this run: this report has no section on it. {answer.text}"
            answer = Answer(text, given=False, blanks=answer.blanks)
        rows.append(
            {
                "element": item.element,
                "claim_2024": item.claim,
                "tripod_ai": item.tripod,
                "stard_ai": item.stard,
                "section": title,
                "answered": answer.given,
                "answer": answer.text,
                "to_fill_in": answer.blanks,
            }
        )
        cells.append(
            (
                str(number),
                item.element,
                item.claim or "-",
                item.tripod or "-",
                item.stard or "-",
                html.link(title) if title else "-",
                html.filled(answer.text, answer.blanks),
            )
        )
    head = ("", "element", "CLAIM", "TRIPOD+AI", "STARD-AI", "section", "this run")
    given = sum(bool(row["answered"]) for row in rows)
    caption = (
        f"{given} of {len(rows)} elements are answered by this run. Numbers are those of the items "
        "in CLAIM 2024, TRIPOD+AI and STARD-AI; the words are ours. Lines are for the group to "
        "fill in: a run cannot know them."
    )
    return Part(
        "Reporting checklist", [html.table(head, cells, caption=caption)], {"checklist": rows}
    )


def _section(item: Item, titles: Sequence[str]) -> str | None:
    for word in item.words:
        for title in titles:
            if word in title.lower():
                return title
    return None
