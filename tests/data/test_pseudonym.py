"""Pseudonyms are keyed, and the key is kept where only its owner can read it."""

import hashlib
import stat
import sys
from pathlib import Path

import pytest

from seattn.data.pseudonym import patient_pseudonym, pseudonym, resolve_key


def test_a_pseudonym_is_a_keyed_blake2b_of_id_and_issuer() -> None:
    expected = hashlib.blake2b(b"P1|clinic", key=b"secret", digest_size=16).hexdigest()
    assert patient_pseudonym("P1", b"secret", issuer="clinic") == expected
    assert patient_pseudonym(" P1 ", b"secret", issuer="clinic ") == expected


def test_another_key_or_another_issuer_is_another_patient() -> None:
    names = {
        patient_pseudonym("P1", b"a"),
        patient_pseudonym("P1", b"b"),
        patient_pseudonym("P1", b"a", issuer="clinic"),
        patient_pseudonym("P2", b"a"),
        pseudonym("P1", b"a"),
    }
    assert len(names) == 5


def test_text_is_a_key_as_its_bytes_are() -> None:
    assert resolve_key("Schlüssel") == resolve_key("Schlüssel".encode()) == "Schlüssel".encode()


@pytest.mark.parametrize("key", ["", b"x" * 65], ids=["empty", "long"])
def test_a_key_has_1_to_64_bytes(key: str | bytes) -> None:
    with pytest.raises(ValueError, match=f"`key` has {len(key)} bytes, and must have 1 to 64"):
        resolve_key(key)


def test_a_key_is_bytes_or_text() -> None:
    with pytest.raises(TypeError, match="`key` must be bytes, str or None, not int"):
        resolve_key(7)  # type: ignore[arg-type]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps it under %APPDATA%")
class TestTheKeptKey:
    @pytest.fixture(autouse=True)
    def home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    def test_is_made_once_and_is_random(self, tmp_path: Path) -> None:
        key = resolve_key(None)
        assert len(key) == 32
        assert resolve_key(None) == key
        (tmp_path / "seattn" / "pseudonym.key").unlink()
        assert resolve_key(None) != key

    def test_is_readable_by_its_owner_alone(self, tmp_path: Path) -> None:
        resolve_key(None)
        folder = tmp_path / "seattn"
        assert stat.S_IMODE((folder / "pseudonym.key").stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    def test_lies_in_the_home_folder_without_the_variable(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("XDG_CONFIG_HOME")
        monkeypatch.setenv("HOME", str(tmp_path))
        resolve_key(None)
        assert (tmp_path / ".config" / "seattn" / "pseudonym.key").is_file()

    def test_is_not_replaced_when_it_is_damaged(self, tmp_path: Path) -> None:
        resolve_key(None)
        (tmp_path / "seattn" / "pseudonym.key").write_bytes(b"short")
        with pytest.raises(ValueError, match="has 5 bytes instead of 32"):
            resolve_key(None)

    def test_says_where_it_wanted_to_be_if_it_cannot(self, tmp_path: Path) -> None:
        (tmp_path / "seattn").write_text("a file in the way")
        with pytest.raises(OSError, match="seattn") as caught:
            resolve_key(None)
        assert "or pass `key=` yourself" in caught.value.__notes__[0]
