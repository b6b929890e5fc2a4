"""How the documentation is built: ``sphinx-build -n -W -b html docs docs/_build/html``."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import seattn

project = "seattn"
author = "seattn developers"
copyright = "2026, seattn developers"
release = version = seattn.__version__
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # equations without a network
    "sphinx_copybutton",
    "sphinx_design",
]
# Links to the names of other libraries, on demand, so that no build waits for a network.
# SEATTN_INVENTORIES is "online", or a folder or address with torch.inv, numpy.inv and so on.
if inventories := os.environ.get("SEATTN_INVENTORIES"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        name: (url, None if inventories == "online" else f"{inventories}/{name}.inv")
        for name, url in {
            "python": "https://docs.python.org/3",
            "torch": "https://docs.pytorch.org/docs/stable",
            "numpy": "https://numpy.org/doc/stable",
            "matplotlib": "https://matplotlib.org/stable",
        }.items()
    }
    intersphinx_disabled_reftypes = ["std:*"]
    intersphinx_timeout = 20
exclude_patterns = ["_build", "jupyter_execute"]
html_theme = "furo"
html_title = f"seattn {release}"
html_theme_options = {"source_repository": "", "footer_icons": []}
nitpicky = True
nitpick_ignore_regex = [
    # Annotations of the libraries below are shown, and linked only with SEATTN_INVENTORIES.
    (
        "py:.*",
        r"(torch|dist|torchmetrics|numpy|np|nn|collections\.abc|pathlib|os|functools|types|typing|re|matplotlib)\..*",
    ),
    (
        "py:.*",
        r"(Tensor|Path|Callable|Iterable|Iterator|Sequence|Mapping|Module|PathLike|Array|ArrayLike|NDArray|Self|Figure)",
    ),
    ("py:.*", r"(int|float|str|bool|bytes|object|type|None|tuple|dict|list|optional|callable)"),
    # type variables
    ("py:.*", r"seattn\.(data\.roi\.Array|ops\.sync_batch_norm\.Module)"),
    (
        "py:.*",
        r"seattn\.backbones\.(head\.GlobalPool|stage\.FeatureInfo)",
    ),  # not constructed by users
    ("py:.*", r"seattn\.data\.phantom\.(plane\.Plane|anatomy\.Ankle|fracture\.Break)"),  # likewise
    ("py:exc", r"(ValueError|TypeError|RuntimeError|OSError|FileExistsError|KeyError)"),
]
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Shape", "notes_style")]
myst_enable_extensions = ["colon_fence", "dollarmath", "deflist"]
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 900
nb_execution_show_tb = True
nb_merge_streams = True
nb_render_markdown_format = "myst"  # with tables
