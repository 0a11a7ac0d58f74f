"""The documentation site: `make docs` builds it in build/docs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path[:0] = [str(ROOT / "pipeline"), str(DOCS)]

# Notebooks run this tree's code, on one thread each, and keep bases in a folder of the build.
os.environ["PYTHONPATH"] = str(ROOT / "pipeline")
os.environ["EQUIBASIS_CACHE"] = str(ROOT / "build" / "docs-bases")
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ[f"{library}_NUM_THREADS"] = "1"
os.environ["COLUMNS"] = "100"
# Nobody's own settings of IPython; and its kernels need not say that they are not encrypted.
PROFILE = ROOT / "build" / "docs-ipython" / "profile_default"
PROFILE.mkdir(parents=True, exist_ok=True)
(PROFILE / "ipython_kernel_config.py").write_text("get_config().IPKernelApp.log_level = 40\n")
os.environ["IPYTHONDIR"] = str(PROFILE.parent)

from nbclient import NotebookClient  # noqa: E402
from sphinx.application import Sphinx  # noqa: E402

import equibasis  # noqa: E402

# What a command prints comes in pieces of 100 characters: each stream is put together again.
NotebookClient.coalesce_streams = True

project = "equibasis"
author = "the equibasis developers"
copyright = author
version = release = equibasis.__version__

extensions = [
    "explorer",
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_click",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_static"]

# --- pages: Markdown, with links to headings checked ----------------------------------------------

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

# Pages whose text lies elsewhere in the repository, where people and programs look for it.
ELSEWHERE = {
    "contributing": "CONTRIBUTING.md",
    "changelog": "CHANGELOG.md",
    "groups": "groups/README.md",
}


def read_elsewhere(app: Sphinx, name: str, source: list[str]) -> None:
    """Take the text from where it lies, and let links to such texts lead to their pages."""
    text = source[0]
    if name in ELSEWHERE:
        title = text.partition("\n")[0]
        text = (ROOT / ELSEWHERE[name]).read_text(encoding="utf-8").replace("](docs/", "](")
        text = text if text.startswith("# ") else f"{title}\n\n{text}"
    for page, file in ELSEWHERE.items():
        text = text.replace(f"](../{file})", f"]({page}.md)").replace(f"]({file})", f"]({page}.md)")
    source[0] = text


def setup(app: Sphinx) -> None:
    """Connect what is called while Sphinx builds."""
    app.connect("source-read", read_elsewhere)


# --- notebooks: text, executed at every build; a cell that fails fails the build ------------------

suppress_warnings = ["myst-nb.lexer"]  # which is not known where notebooks are not executed
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_show_tb = True
nb_execution_timeout = 900
nb_merge_streams = True
nb_code_prompt_show = nb_code_prompt_hide = "Code"

# --- the reference: from docstrings, whose single backticks are names of Python -------------------

default_role = "py:obj"
autodoc_default_options = {"exclude-members": "extra_repr, weights_of"}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
napoleon_google_docstring = False
napoleon_custom_sections = [("Attributes", "params_style")]  # which may name several at once
napoleon_use_rtype = False
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

# --- looks: nothing is loaded from elsewhere ------------------------------------------------------

html_theme = "furo"
html_title = "equibasis"
html_favicon = "_static/logo.svg"
html_logo = "_static/logo.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
pygments_style = "friendly"
copybutton_exclude = ".linenos, .gp, .go"

linkcheck_anchors = False
