"""Links of Markdown files, which are right in the repository, lead to pages of the site.

The same text is read in both places: `[an example](../examples/01_titanic.py)` opens the file there, and the page of
the gallery here; so does the bare name of an example. What has no page is written as code: the site does not know where
the repository is.
"""

import re
from pathlib import Path, PurePosixPath

from gallery import OUTPUT_FOLDER
from sphinx.application import Sphinx
from sphinx.util import logging

ROOT = Path(__file__).parents[2]
PAGES = {
    "README.md": "/index.md",
    "CHANGELOG.md": "/changelog.md",
    "CONTRIBUTING.md": "/contributing.md",
    "SECURITY.md": "/guide/security.md",
    "benchmarks/README.md": "/benchmarks/index.md",
    "benchmarks/defaults.md": "/benchmarks/defaults.md",
}
EXAMPLE = re.compile(r"(?<![\[`])`examples/(?P<name>\d\d_\w+)\.py`(?![\]`])")
LINK = re.compile(r"(!?)\[(?P<text>[^\]]*)\]\((?P<path>[^)#\s:]+)(?P<anchor>#[^)\s]*)?\)")
logger = logging.getLogger(__name__)


def page_of(path: Path) -> str | None:
    """The page of a file of the repository, with the site's root as "/"; None where it has none."""
    name = path.relative_to(ROOT).as_posix()
    if name in PAGES:
        return PAGES[name]
    inside = PurePosixPath(name)
    if inside.parts[0] == "docs":
        return "/" + inside.relative_to("docs").as_posix()
    if inside.parts[0] == "examples" and inside.suffix == ".py":
        return f"/{OUTPUT_FOLDER}/{inside.stem}.rst"
    return None


def translate(text: str, folder: Path) -> str:
    """Markdown of a file in `folder`, with links as the site needs them."""

    def replaced(link: re.Match[str]) -> str:
        path = (folder / link["path"]).resolve()
        if link["path"].startswith(("/", "<")) or not path.is_relative_to(ROOT):
            return link[0]
        if not path.exists():
            logger.warning("%s: no file %s", folder, link["path"], type="repository_links")
            return link["text"]
        page = page_of(path)
        if page is None:
            return f"{link['text']} (`{path.relative_to(ROOT).as_posix()}`)" if not link[1] else link[0]
        return f"{link[1]}[{link['text']}]({page}{link['anchor'] or ''})"

    text = EXAMPLE.sub(lambda found: f"[{found[0]}](/{OUTPUT_FOLDER}/{found['name']}.rst)", text)
    return LINK.sub(replaced, text)


def of_page(app: Sphinx, docname: str, source: list[str]) -> None:
    path = Path(app.env.doc2path(docname))
    if path.suffix == ".md":
        source[0] = translate(source[0], path.parent)


def of_included(app: Sphinx, path: Path, _docname: str, source: list[str]) -> None:
    if path.suffix == ".md":
        source[0] = translate(source[0], (Path(app.srcdir) / path).resolve().parent)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", of_page)
    app.connect("include-read", of_included)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
