"""The code of the page on what Grad-CAM shows prints what the page says."""

from tests.pages import run_page


def test_the_code_of_the_page_prints_what_it_shows():
    run_page("explanation/grad_cam.md")
