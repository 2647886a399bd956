"""Configure Sphinx. `nox -s docs` builds the site, without access to the network."""

from typing import Any

from sphinx.application import Sphinx

from secoda_async import __version__

project = "secoda_async"
author = "The secoda_async authors"
copyright = "The secoda_async authors"  # noqa: A001 - Sphinx's name
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "cyclopts.ext.sphinx",
    "sphinx_copybutton",
    "sphinx_llms_txt",
]
exclude_patterns = ["examples"]
source_suffix = {".md": "markdown"}

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "separated"
autodoc_default_options = {"members": True, "undoc-members": False}
napoleon_numpy_docstring = False
napoleon_use_ivar = True
default_role = "code"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80

copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

llms_txt_uri_template = "_sources/{docname}{suffix}{sourcelink_suffix}"  # relative: the site may be in a folder

html_theme = "furo"
html_title = f"secoda_async {__version__}"
html_theme_options = {"navigation_with_keys": True}
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_js_files = ["pages.js"]
html_show_sphinx = False
html_copy_source = True  # llms.txt links to the sources
suppress_warnings = ["misc.highlighting_failure"]  # Pygments has no lexer for CSV
highlight_language = "none"


def repair_markup(_app: Sphinx, _page: str, _template: str, context: dict[str, Any], _doctree: object) -> None:
    """Repair what screen readers misread: headings without a level, and parameters that are a list of definitions."""
    tree: str = context.get("furo_navigation_tree", "")
    context["furo_navigation_tree"] = tree.replace('role="heading"', 'role="heading" aria-level="2"')
    body: str = context.get("body", "")
    context["body"] = body.replace(
        '<dl>\n<dd><em class="sig-param">', '<dl role="presentation">\n<dd><em class="sig-param">'
    )


def setup(app: Sphinx) -> None:
    """Register the repairs, to run after the theme's own changes."""
    app.connect("html-page-context", repair_markup, priority=900)
