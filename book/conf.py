"""Settings of the book; `ibcore.book` gathers its sources and calls Sphinx."""

from ibcore import __version__

project = "ibcore"
author = "The ibcore authors"
release = __version__
html_title = "The information bottleneck in deep networks"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["generated"]
suppress_warnings = ["ref.python"]  # two attributes of one name

myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 2
nb_execution_mode = "off"
nb_output_stderr = "remove"
nb_ipywidgets_js = {}

autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_google_docstring = False
napoleon_use_rtype = False

html_theme = "sphinx_book_theme"
html_theme_options = {
    "collapse_navigation": True,
    "navbar_persistent": [],
    "show_toc_level": 2,
    "use_download_button": False,
}
html_context = {"default_mode": "auto"}
html_extra_path = ["extra"]
html_static_path = ["static"]
html_css_files = ["book.css"]
mathjax_path = "mathjax.js"  # version 3; fonts are part of it
html_copy_source = False
html_use_index = False
html_domain_indices = False
