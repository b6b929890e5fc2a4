"""The page on encoders runs, and prints what it shows."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "encoder.md"


def test_the_page_prints_what_it_shows(capsys):
    names = {}
    for code, shown in re.findall(
        r"```python\n(.*?)```\n+```text\n(.*?)```", PAGE.read_text(), re.S
    ):
        exec(compile(code, PAGE.name, "exec"), names)
        assert capsys.readouterr().out == shown
    assert "levels" in names
