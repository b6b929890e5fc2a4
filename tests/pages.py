"""The code of a documentation page, run as a reader would run it."""

import io
import re
import sys
import types
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"


def run_page(path: str) -> dict[str, Any]:
    """Run the Python of a page in order, compare what it prints, and return its names.

    A block of text right after one of Python is what that prints; without one it prints nothing.
    """
    page = (DOCS / path).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```(?:\n+^```text\n(.*?)^```)?", page, re.S | re.M)
    assert len(blocks) == page.count("```python")
    assert sum(bool(shown) for _, shown in blocks) == page.count("```text")
    module = types.ModuleType(Path(path).stem + "_page")
    sys.modules[module.__name__] = module  # where timm looks for the module of a function
    for code, shown in blocks:
        printed = io.StringIO()
        with redirect_stdout(printed):
            exec(compile(code, path, "exec"), module.__dict__)
        assert printed.getvalue() == shown, f"{path} prints\n{printed.getvalue()}not\n{shown}"
    return module.__dict__
