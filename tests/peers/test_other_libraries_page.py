"""The page on Lightning, MONAI, timm, torchmetrics and captum runs and prints what it shows."""

import logging
import warnings

from tests.pages import run_page


def test_the_page_prints_what_it_shows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice on loaders and workers
        page = run_page("how-to/other_libraries.md")
    logging.getLogger("lightning").setLevel(logging.WARNING)
    assert page["trainer"].callback_metrics["roc_auc"].isfinite()
