"""The how-to page's code runs, and prints what the page shows."""

import re
import warnings
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "own_folder.md"


def test_the_pages_code_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    parts = re.findall(r"```(python|text)\n(.*?)```", PAGE.read_text(), re.S)
    assert sum(kind == "python" for kind, _ in parts) == 10
    names = {}
    shown = 0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for kind, text in parts:
            if kind == "python":
                exec(compile(text, PAGE.name, "exec"), names)
            else:
                assert capsys.readouterr().out == text
                shown += 1
    assert shown == 8
    assert [str(each.message)[:30] for each in caught] == ["1 of 120 images cannot be used"]
