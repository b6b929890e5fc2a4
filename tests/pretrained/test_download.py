import hashlib
import sys
from dataclasses import replace

import huggingface_hub
import pytest

from seattn.pretrained import PretrainedConfig, download

WEIGHTS = b"weights made for this test" * 1000
DIGEST = hashlib.sha256(WEIGHTS).hexdigest()
CFG = PretrainedConfig(
    architecture="resnet18",
    tag="test",
    repository="team/resnet18.test",
    license="mit",
    size=64,
    test_size=64,
    crop=1.0,
    test_crop=1.0,
    interpolation="bilinear",
    mean=(0.5, 0.5, 0.5),
    std=(0.2, 0.2, 0.2),
)
FILE = "team/resnet18.test/model.safetensors"


def test_the_file_is_fetched_once(hub, cache):
    hub.files[FILE] = WEIGHTS
    path = download(CFG)
    assert path.read_bytes() == WEIGHTS
    assert path.name == "model.safetensors"
    assert path.is_relative_to(cache)
    assert hub.sent[FILE] == 1


def test_what_is_in_the_cache_needs_no_hub(hub):
    hub.files[FILE] = WEIGHTS
    path = download(CFG)
    requests = hub.requests
    assert download(CFG) == path
    assert hub.requests == requests


def test_another_name_of_the_file_is_asked_for(hub):
    hub.files["team/resnet18.test/folder/weights.bin"] = WEIGHTS
    assert download(replace(CFG, file="folder/weights.bin")).read_bytes() == WEIGHTS


def test_progress_is_shown(hub, capsys, monkeypatch):
    monkeypatch.setenv("TQDM_POSITION", "-1")  # shows it although this is no terminal
    hub.files[FILE] = WEIGHTS
    download(CFG)
    assert "model.safetensors: 100%" in capsys.readouterr().err


@pytest.mark.parametrize("digest", [DIGEST, DIGEST.upper()])
def test_the_stated_sha256_is_accepted(hub, digest):
    hub.files[FILE] = WEIGHTS
    assert download(replace(CFG, sha256=digest)).read_bytes() == WEIGHTS


def test_another_sha256_is_refused_naming_both_and_the_file_to_delete(hub):
    hub.files[FILE] = WEIGHTS
    with pytest.raises(RuntimeError, match="Delete") as error:
        download(replace(CFG, sha256="0" * 64))
    assert DIGEST in str(error.value)
    assert "0" * 64 in str(error.value)
    (blob,) = [word for word in str(error.value).split() if "blobs" in word]
    assert blob.endswith(DIGEST)


def test_a_file_exchanged_on_the_hub_can_be_taken_as_the_error_says(hub):
    hub.files[FILE] = b"the file before" * 1000
    before = replace(CFG, sha256=hashlib.sha256(hub.files[FILE]).hexdigest())
    download(before).resolve().unlink()
    hub.files[FILE] = WEIGHTS
    with pytest.raises(RuntimeError, match="exchanged on the hub") as error:
        download(before)
    assert f"`dataclasses.replace(cfg, sha256='{DIGEST}')`" in str(error.value)
    assert "sha256=None" in str(error.value)
    assert download(replace(before, sha256=DIGEST)).read_bytes() == WEIGHTS
    assert download(replace(before, sha256=None)).read_bytes() == WEIGHTS


def test_a_stated_sha256_is_checked_in_the_cache_too(hub):
    hub.files[FILE] = WEIGHTS
    download(CFG)
    with pytest.raises(RuntimeError, match="damaged or is another one"):
        download(replace(CFG, sha256="0" * 64))


def test_damage_on_the_way_is_found_by_what_the_hub_stated(hub):
    hub.files[FILE] = WEIGHTS
    hub.damage = True
    with pytest.raises(RuntimeError, match=f"expected is {DIGEST}") as error:
        download(CFG)
    assert "exchanged" not in str(error.value)


def test_damage_in_the_cache_is_found_and_deleting_the_named_file_helps(hub):
    hub.files[FILE] = WEIGHTS
    path = download(CFG)
    path.resolve().write_bytes(b"zeros after a crash")
    with pytest.raises(RuntimeError, match="Delete"):
        download(CFG)
    path.resolve().unlink()
    assert download(CFG).read_bytes() == WEIGHTS


def test_a_small_file_has_no_stated_sha256_and_is_taken(hub):
    hub.files[FILE] = WEIGHTS
    hub.large = False
    assert download(CFG).read_bytes() == WEIGHTS


def test_a_blob_that_is_a_link_into_another_store_is_still_checked(hub, tmp_path):
    hub.files[FILE] = WEIGHTS
    blob = download(CFG).resolve()
    blob.rename(tmp_path / ("f" * 64))
    blob.symlink_to(tmp_path / ("f" * 64))
    assert download(CFG).read_bytes() == WEIGHTS


def test_a_cache_without_links_is_not_checked(hub):
    hub.files[FILE] = WEIGHTS
    path = download(CFG)
    path.resolve().replace(path)
    assert download(CFG) == path


def test_without_network_and_cache_the_error_names_the_file_to_fetch(hub, cache):
    hub.close()
    with pytest.raises(FileNotFoundError) as error:
        download(CFG)
    message = str(error.value)
    assert f"{hub.endpoint}/team/resnet18.test/resolve/main/model.safetensors" in message
    assert "'team/resnet18.test'" in message
    assert str(cache) in message
    assert "load_weights" in message
    assert "HF_HUB_CACHE" in message


def test_offline_by_wish_asks_nobody(hub, monkeypatch):
    hub.files[FILE] = WEIGHTS
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError, match="load_weights"):
        download(CFG)
    assert not hub.requests


def test_a_repository_that_is_not_there_is_named(hub):
    with pytest.raises(FileNotFoundError, match=r"repository 'team/resnet18.test': .*404"):
        download(CFG)


def test_without_the_extra_the_pip_line_is_printed(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "seattn\[hub\]"'):
        download(CFG)


def test_a_hub_that_hangs_up_is_named(hub):
    hub.files[FILE] = WEIGHTS
    hub.silent = True
    with pytest.raises(FileNotFoundError, match="load_weights"):
        download(CFG)
