"""Fetch pretrained weights from the Hugging Face hub into its cache, and check them."""

import hashlib
import re
from pathlib import Path

from seattn.weights.pretrained_config import PretrainedConfig

__all__ = ["download"]


def download(cfg: PretrainedConfig) -> Path:
    """Fetch weights unless the cache has them, and check the file against its sha256.

    The work is ``huggingface_hub``'s: it shows the progress, tries again, and obeys its environment
    variables (``HF_HUB_CACHE``, ``HF_ENDPOINT`` for a mirror, ``HF_HUB_OFFLINE``, ``HF_TOKEN``).
    A file in the cache is taken without asking the hub for a newer one.

    The digest is ``cfg.sha256``. Where that is None it is the one that the hub stated for the
    file: this finds damage on the way and in the cache, but trusts the hub. A cache on a file
    system without symbolic links does not record what the hub stated; nothing is checked there.

    Args:
        cfg: A row of the table, or a configuration of your own.

    Returns:
        The file in the cache.

    Raises:
        ModuleNotFoundError: ``huggingface_hub`` is not installed.
        FileNotFoundError: The file is neither in the cache nor to be had from the hub; the message
            names it, and says how to bring it here by hand.
        RuntimeError: The file has another sha256; the message names both, the file to delete, and
            how to take a file that was exchanged on the hub.

    Examples:
        >>> from seattn.pretrained import download, get_pretrained_cfg
        >>> download(get_pretrained_cfg("se_resnet50")).name  # doctest: +SKIP
        'model.safetensors'
    """
    try:
        import huggingface_hub
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'pretrained weights need huggingface_hub: pip install "seattn[hub]"'
        ) from error
    found = huggingface_hub.try_to_load_from_cache(cfg.repository, cfg.file)
    if not isinstance(found, str):
        try:
            found = huggingface_hub.hf_hub_download(cfg.repository, cfg.file)
        except Exception as error:  # their types change with its version and the client under it
            url = huggingface_hub.hf_hub_url(cfg.repository, cfg.file)
            raise FileNotFoundError(
                f"cannot get {cfg.file!r} of the repository {cfg.repository!r}: {error}\n"
                f"It is not in the cache {huggingface_hub.constants.HF_HUB_CACHE} either. Fetch "
                f"{url} where there is a network and give the file to "
                "`seattn.weights.load_weights(model, path)`, or copy the cache of a machine that "
                "has it here and set HF_HUB_CACHE to it."
            ) from error
    path = Path(found)
    _verify(path, cfg)
    return path


def _verify(path: Path, cfg: PretrainedConfig) -> None:
    expected = cfg.sha256 or _stated_by_the_hub(path)
    if expected is None:
        return
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != expected.lower():
        exchanged = (
            " If it has the same sha256 then, it was exchanged on the hub. If you trust the new "
            f"file, use `dataclasses.replace(cfg, sha256={actual!r})` in place of `cfg`, the "
            "configuration, or sha256=None to take whatever the hub has."
        )
        raise RuntimeError(
            f"{cfg.file!r} of {cfg.repository!r} has the sha256 {actual}, expected is {expected}: "
            f"the file is damaged or is another one. Delete {path.resolve()} and try again."
            + (exchanged if cfg.sha256 else "")
        )


def _stated_by_the_hub(path: Path) -> str | None:
    """Return the sha256 by which the cache names a large file, None where it does not."""
    # snapshots/<commit>/<file> links to blobs/<etag>; the etag of a large file is its sha256. Only
    # one link is followed: a blob may itself be a link into a store with other names.
    name = path.readlink().name if path.is_symlink() else ""
    return name if re.fullmatch("[0-9a-f]{64}", name) else None
