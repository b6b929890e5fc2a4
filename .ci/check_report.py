"""Fails unless the quick study's report says what the README promises of it."""

import json
import re
import sys
from pathlib import Path

folder = Path(sys.argv[1])
facts = json.loads((folder / "report.json").read_text())


def auc(entry: dict) -> float:
    """ROC AUC of one model of the report."""
    return entry["test"]["estimates"]["roc_auc"]["value"]


page = (folder / "report.html").read_text()
study, linear = auc(facts["models"]["se_resnet_small"]), auc(facts["baseline"])
checks = {
    "197, 66 and 66 patients": [part["patients"] for part in facts["parts"]] == [197, 66, 66],
    f"test ROC AUC of the SE network at least 0.85: {study:.3f}": study >= 0.85,
    f"logistic regression on the pixels below 0.75: {linear:.3f}": linear < 0.75,
    "the page is self-contained": page.count('src="data:') > 0
    and not re.search(r'\b(src|href)="(?!data:|#)', page),
    "it says that it is not for diagnosis": "not for diagnosis" in page,
    "predictions, curves and weights lie beside it": all(
        (folder / name).stat().st_size > 0
        for name in (
            "predictions.csv",
            "roc.csv",
            "config.json",
            "seed0/se_resnet_small/curves.csv",
            "seed0/se_resnet_small/best.safetensors",
        )
    ),
}
for claim, held in checks.items():
    print("ok  " if held else "FAIL", claim)
print(f"{facts['seconds']} s")
sys.exit(0 if all(checks.values()) else 1)
