"""Sphinx configuration."""

import importlib.metadata

from sphinx.ext.napoleon import NumpyDocstring

project = "dpstruct"
author = "The dpstruct developers"
project_copyright = author
version = release = importlib.metadata.version("dpstruct")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"dpstruct {version}"

default_role = "py:obj"  # single backticks in docstrings name Python objects
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings state types and shapes
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = False
# Take the docstring of a property as prose: a colon in its first sentence does not make what stands before it a type.
NumpyDocstring._parse_attribute_docstring = NumpyDocstring._consume_to_end
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
