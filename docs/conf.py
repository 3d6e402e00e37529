"""The site of stackkit: Sphinx's settings."""

import sys
from importlib import import_module, metadata
from pathlib import Path

from numpydoc import xref

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

from gallery import OUTPUT_FOLDER, NewPictures, new_workers, quick_arguments  # noqa: E402
from public import MODULES, own_methods, public_names  # noqa: E402

project = "stackkit"
author = "The stackkit developers"
project_copyright = author
release = metadata.version("stackkit")
version = release

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "repository_links",  # this one and those below are in _ext
    "mathml",
    "commands",
]
exclude_patterns = [
    "_build",
    "sg_execution_times.rst",
    "gallery/sg_execution_times.rst",
    "**.ipynb",
    "gallery/*.py",
    "gallery/*.json",
    "gallery/*.zip",
]
templates_path = ["_templates"]
root_doc = "index"
default_role = "literal"  # `single backticks` of docstrings
highlight_language = "none"  # of blocks that do not say what they are
toc_object_entries_show_parents = "hide"
nitpicky = True
# Only our own names have to be found: there is no inventory of others', for nothing is downloaded.
nitpick_ignore_regex = [(r"py:.*", r"(?!stackkit\b).*")]
suppress_warnings = ["config.cache"]  # functions in sphinx_gallery_conf

# --- Markdown ------------------------------------------------------------------------------------------

myst_enable_extensions = ["dollarmath", "deflist", "colon_fence", "attrs_inline"]
myst_heading_anchors = 4

# --- the reference, from docstrings ----------------------------------------------------------------------

autosummary_generate = True
autosummary_context = {"own_methods": own_methods}
autodoc_typehints = "none"  # numpydoc's sections tell the types
autodoc_class_signature = "mixed"
numpydoc_show_class_members = False  # the template lists methods, those of stackkit alone
numpydoc_xref_param_type = True
numpydoc_xref_aliases = {
    name.rpartition(".")[2]: name for module in MODULES for name in public_names(import_module(module))
}
numpydoc_xref_ignore = "all"  # all but these
xref.DEFAULT_LINKS.clear()  # they lead to NumPy's and Python's pages, which are elsewhere

# --- the gallery -----------------------------------------------------------------------------------------

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": OUTPUT_FOLDER,
    "filename_pattern": r"[/\\]\d\d_",
    "ignore_pattern": r"__init__\.py",
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": (NewPictures(),),
    "reset_argv": quick_arguments,
    "reset_modules": ("matplotlib", new_workers),
    "backreferences_dir": "gallery/backreferences",
    "doc_module": ("stackkit",),
    "remove_config_comments": True,
    "show_memory": False,
    "write_computation_times": False,  # their page loads scripts from elsewhere
    "download_all_examples": False,
    "show_signature": False,
    "abort_on_example_error": False,
    "only_warn_on_example_error": False,
    "nested_sections": False,
}

# --- how it looks ----------------------------------------------------------------------------------------

html_theme = "pydata_sphinx_theme"
html_title = f"stackkit {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_math_renderer = "mathml"
html_theme_options = {
    "logo": {"text": "stackkit"},
    "header_links_before_dropdown": 6,
    "navbar_align": "left",
    "navbar_persistent": ["search-button"],
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "navigation_with_keys": False,
    "show_toc_level": 2,
}
html_context = {"default_mode": "auto"}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
