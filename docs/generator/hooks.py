"""What mkdocs does not do by itself: pages from outside docs/, generated pages, and links that work in both places.

The pages are read on GitHub and on the site. Their links are those of the repository; here they are turned to the site's.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from config_reference import config_markdown
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

REPOSITORY = Path(__file__).resolve().parents[2]
#: file of the repository outside docs/ -> page of the site
PAGES = {
    "README.md": "index.md",
    "datasets/README.md": "datasets.md",
    "datasets/sen1floods11.md": "sen1floods11.md",
    "datasets/spacenet6.md": "spacenet6.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "LICENSE": "license.md",
    "CITATION.cff": "citation.md",
}
#: Those of them that are no Markdown -> their heading
PLAIN = {"LICENSE": "License", "CITATION.cff": "Citation"}
#: What a link may lead to -> page of the site: the keys' own file, to the reference that is made of it
TARGETS = {**PAGES, "imrsf_d2/config.py": "configuration.md"}
LINK = re.compile(r"(\]\()(?![a-z]+:|#)([^)\s#]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    for source, page in PAGES.items():
        text = (REPOSITORY / source).read_text(encoding="utf-8")
        if source in PLAIN:
            text = f"# {PLAIN[source]}\n\n```text\n{text}```\n"
        files.append(File.generated(config, page, content=with_site_links(text, source)))
    reference = config_markdown((REPOSITORY / "imrsf_d2/config.py").read_text(encoding="utf-8"))
    files.append(File.generated(config, "configuration.md", content=reference))
    return files


def on_page_markdown(markdown: str, page, **_) -> str:
    """Turn the links of the pages that are in docs/."""
    return markdown if page.file.generated_by else with_site_links(markdown, f"docs/{page.file.src_uri}")


def with_site_links(markdown: str, source: str) -> str:
    """A page whose links lead to pages of the site.

    Args:
        markdown: its text.
        source: its path in the repository, which its links start from.
    """
    here = posixpath.dirname(PAGES.get(source, posixpath.relpath(source, "docs")))

    def site_link(found: re.Match) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), found[2]))
        page = TARGETS.get(target, posixpath.relpath(target, "docs"))
        return found[1] + posixpath.relpath(page, here or ".")

    # What stands in code is no link.
    parts = re.split(r"(```.*?```|`[^`\n]*`)", markdown, flags=re.S)
    return "".join(part if number % 2 else LINK.sub(site_link, part) for number, part in enumerate(parts))
