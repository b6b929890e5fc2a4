"""The code of the how-to pages that need no peer runs, and prints what the pages show."""

import warnings

import pytest

from tests.pages import run_page

PAGES = {
    "add_a_block": None,
    "compare_models": None,
    "compare_with_annotations": None,
    "compressed_files": None,
    "dicom_volumes": None,
    "export": None,
    "faster_inference": None,
    "int8": None,
    "one_channel": None,
    "operating_points": None,
    "own_folder": "1 of 120 images cannot be used",
    "patient_data": None,
    "pictures": None,
    "predict_folder": None,
    "report_a_model": None,
    "sanity_checks": None,
    "splits": None,
    "study_data": None,
    "weights": None,
}


@pytest.mark.parametrize(("page", "warning"), PAGES.items())
def test_the_code_of_a_page_runs(tmp_path, monkeypatch, page, warning):
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", ".*treespec.*is deprecated", FutureWarning)  # torch.onnx
        run_page(f"how-to/{page}.md")
    assert [str(each.message)[: len(warning or "")] for each in caught] == (
        [] if warning is None else [warning]
    )
