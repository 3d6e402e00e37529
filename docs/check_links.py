"""Check the links of a built site: pages, anchors, pictures and styles are there, and nothing is loaded from elsewhere.

python docs/check_links.py docs/_build/html
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The anchors of a page, its links, and what a browser loads with it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") in {"stylesheet", "icon", "preload", "modulepreload"}:
            self.loaded.append(given["href"])
        elif tag in {"img", "script", "source", "iframe"} and "src" in given:
            self.loaded.append(given["src"])


def faults(site: Path) -> list[str]:
    """A sentence for each link that leads nowhere."""
    pages = {
        path: Page(path.read_text(encoding="utf8"))
        for path in sorted(site.rglob("*.html"))
        if "_static" not in path.parts
    }
    found = []
    for path, page in pages.items():
        name = path.relative_to(site)
        found += [f"{name}: loads {url} from elsewhere" for url in page.loaded if urlsplit(url).netloc]
        for url in page.links + page.loaded:
            parts = urlsplit(url)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.exists():
                found.append(f"{name}: no file {url}")
            elif target in pages and unquote(parts.fragment) not in pages[target].anchors | {"", "top"}:
                found.append(f"{name}: no anchor {url}")
    if not pages:
        found.append(f"no pages in {site}")
    return found


if __name__ == "__main__":
    wrong = faults(Path(sys.argv[1]).resolve())
    print("\n".join(wrong) or "All internal links lead somewhere.")
    sys.exit(bool(wrong))
