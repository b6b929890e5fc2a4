"""Takes a figure out of a study's report: ``python docs/figures/from_report.py RUN WORDS NAME``.

RUN is the folder of a finished run on the phantom, WORDS begin the alt text of the figure. NAME.png
is written below docs/_static. Figures of real images stay where they are.
"""

from __future__ import annotations

import base64
import json
import re
import sys
from pathlib import Path

STATIC = Path(__file__).parents[1] / "_static"


def main(run: Path, words: str, name: str) -> None:
    """Writes the picture.

    Args:
        run: The folder of the run.
        words: The first words of the alt text.
        name: Of the file, without suffix.
    """
    if json.loads((run / "report.json").read_text())["config"]["images"] is not None:
        sys.exit(f"'{run}' is a run on somebody's images: they are not copied.")
    page = (run / "report.html").read_text(encoding="utf-8")
    pattern = rf'<img alt="{re.escape(words)}[^"]*" src="data:image/png;base64,([^"]+)"'
    found = re.findall(pattern, page)
    if len(found) != 1:
        sys.exit(f"{len(found)} figures of '{run}' begin with {words!r}")
    (STATIC / f"{name}.png").write_bytes(base64.b64decode(found[0]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
