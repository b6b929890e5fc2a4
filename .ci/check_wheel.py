"""Fails unless a wheel holds ``seattn`` and its type marker alone, and is what is installed here.

``check_wheel.py FILE.whl [--installed]``; with the flag every file is compared with the package
that this Python imports, which is the one that the tests ran on.
"""

import importlib.util
import sys
import zipfile
from pathlib import Path

wheel = zipfile.ZipFile(sys.argv[1])
files = [name for name in wheel.namelist() if ".dist-info/" not in name]
strangers = [name for name in files if not name.startswith("seattn/")]
if strangers or "seattn/py.typed" not in files:
    sys.exit(f"{sys.argv[1]}: unexpected {strangers}, py.typed: {'seattn/py.typed' in files}")
if "--installed" in sys.argv:
    root = Path(importlib.util.find_spec("seattn").origin).parents[1]
    other = [name for name in files if (root / name).read_bytes() != wheel.read(name)]
    if other:
        sys.exit(f"the tests ran on other files than {sys.argv[1]} holds: {other}")
print(f"{sys.argv[1]}: {len(files)} files, all below seattn/")
