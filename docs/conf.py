"""Configure Sphinx. `nox -s docs` builds the site, without access to the network."""

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
html_css_files = ["tables.css"]
html_show_sphinx = False
html_copy_source = True  # llms.txt links to the sources
suppress_warnings = ["misc.highlighting_failure"]  # Pygments has no lexer for CSV
highlight_language = "none"
pygments_style = "friendly"
pygments_dark_style = "monokai"
