"""Pseudonyms for patients, studies and series: a keyed hash, so that they cannot be guessed back.

Hospital numbers are few: whoever holds a plain hash of them tries them all. A secret key closes
that way. It stays pseudonymisation: who has the key can link a known identifier to its rows.
"""

import hashlib
import os
import secrets
import sys
from pathlib import Path

__all__ = ["patient_pseudonym", "pseudonym", "resolve_key"]

_KEY_BYTES = 32


def pseudonym(text: str, key: bytes) -> str:
    """Hash ``text`` with BLAKE2b (RFC 7693) under ``key``.

    Returns:
        32 hexadecimal digits, the same for the same text and key.

    Examples:
        >>> from seattn.data.pseudonym import pseudonym
        >>> pseudonym("1.2.840.1", key=b"a secret of the study")
        '5ca58c90034cd9597354615b396198ab'
    """
    return hashlib.blake2b(text.encode(), key=key, digest_size=16).hexdigest()


def patient_pseudonym(patient_id: str, key: bytes, *, issuer: str = "") -> str:
    """Hash a (0010,0020) *Patient ID* with the (0010,0021) issuer within which it is unique.

    Args:
        patient_id: The number as the file has it; blanks around it do not count.
        key: The secret, as ``resolve_key`` returns it.
        issuer: Who gave the number; "" where the file does not say.

    Returns:
        32 hexadecimal digits, the same for the same number, issuer and key.

    Examples:
        >>> from seattn.data.pseudonym import patient_pseudonym
        >>> patient_pseudonym("4711", b"a secret of the study")
        'f6ab9010db2123cae37c077cc2d6090d'
        >>> patient_pseudonym("4711", b"a secret of the study", issuer="another hospital")
        'e8d973929412590a4dc1cb7216639333'
    """
    return pseudonym(f"{patient_id.strip()}|{issuer.strip()}", key)


def resolve_key(key: bytes | str | None) -> bytes:
    """Check a key, or fetch this user's own one.

    Args:
        key: 1 to 64 bytes, or text of that length in UTF-8. None stands for 32 random bytes that
            are made once and kept, readable by their owner alone, in the user's configuration
            folder: ``$XDG_CONFIG_HOME/seattn``, else ``~/.config/seattn``; on Windows
            ``%APPDATA%/seattn``.

    Raises:
        TypeError: ``key`` is neither bytes nor text nor None.
        ValueError: ``key`` is empty or longer than 64 bytes, or the kept key is damaged.

    Returns:
        The key as bytes.

    Examples:
        >>> from seattn.data.pseudonym import resolve_key
        >>> resolve_key("a secret of the study")
        b'a secret of the study'
    """
    if key is None:
        return _kept_key(_configuration_folder() / "pseudonym.key")
    if not isinstance(key, bytes | str):
        raise TypeError(f"`key` must be bytes, str or None, not {type(key).__name__}.")
    key = key.encode() if isinstance(key, str) else key
    if not 1 <= len(key) <= hashlib.blake2b.MAX_KEY_SIZE:
        raise ValueError(
            f"`key` has {len(key)} bytes, and must have 1 to {hashlib.blake2b.MAX_KEY_SIZE}; "
            "`secrets.token_bytes(32)` makes a good one."
        )
    return key


def _configuration_folder() -> Path:
    if sys.platform == "win32":
        parent = os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming"
    else:
        parent = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(parent) / "seattn"


def _kept_key(path: Path) -> bytes:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_key(path)
        key = path.read_bytes()
    except OSError as error:
        error.add_note(f"The key of the pseudonyms is kept in {path}; or pass `key=` yourself.")
        raise
    if len(key) != _KEY_BYTES:
        raise ValueError(
            f"the kept key {path} has {len(key)} bytes instead of {_KEY_BYTES}; restore it from a "
            "copy, or delete it to get a new one, which gives every patient a new pseudonym."
        )
    return key


def _make_key(path: Path) -> None:
    """Make a key for its owner alone, unless there is one already."""
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(path, flags, 0o600)
    except FileExistsError:
        return
    with os.fdopen(handle, "wb") as file:
        file.write(secrets.token_bytes(_KEY_BYTES))
