"""How the site is built of the pages in docs/: `make docs`, or sphinx-build -c docs/site docs build/site."""

import logging
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

import mrsim  # noqa: E402

# A theme for code that is loaded later lets everything be told; the first to say what is told prevails.
logging.basicConfig(level=logging.WARNING)

project, author, version = "mrsim", "The mrsim developers", mrsim.__version__
project_copyright = "the mrsim developers"
html_title = f"mrsim {version}"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
    "executed",
    "linked",
]
root_doc = "index"
exclude_patterns = ["site", "gallery", "pictures/*.py", "pictures/*.ipynb", "pictures/sg_execution_times.rst"]
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]

# Docstrings are numpydoc without types, which stand in the signatures.
napoleon_google_docstring = False
napoleon_use_ivar = True
default_role = "literal"
autodoc_typehints = "description"
autodoc_typehints_description_target = "all"
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True
# A name after "Returns" is what is returned, not a type that could be looked up.
suppress_warnings = ["ref.python"]

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "pictures",
    "filename_pattern": r"plot_",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "capture_repr": (),
    "show_signature": False,
    "min_reported_time": 1e9,
    "write_computation_times": False,
    "remove_config_comments": True,
}

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_show_search_summary = False  # would fetch each page, which a browser refuses to files without a server
html_copy_source = False
html_show_sourcelink = False


def as_code(app, what, name, obj, options, lines):
    """Show the indented lines of a module's docstring as code: there they are an example of its use."""
    if what == "module":
        starts = [n for n in range(1, len(lines)) if lines[n].startswith("    ") and not lines[n - 1]]
        for n in reversed(starts):
            if n < 2 or not lines[n - 2].startswith("    "):  # not within one already
                lines[n:n] = [".. code-block:: python", ""]


def setup(app):
    """Enter it into Sphinx."""
    app.connect("autodoc-process-docstring", as_code)
