"""Fails unless a built wheel holds `seattn`, its type marker and its metadata, and nothing else."""

import sys
import zipfile

names = zipfile.ZipFile(sys.argv[1]).namelist()
strangers = [n for n in names if not n.startswith("seattn/") and ".dist-info/" not in n]
if strangers or "seattn/py.typed" not in names:
    sys.exit(f"{sys.argv[1]}: unexpected {strangers}, py.typed {'seattn/py.typed' in names}")
print(f"{sys.argv[1]}: {len(names)} files, all below seattn/")
