"""Templates of pages and how they become one file: styles, scripts, data and images in it, and everything escaped."""

from __future__ import annotations

from collections.abc import Mapping

import jinja2

__all__ = ["render_page"]


def render_page(template: str, data: Mapping, **values: object) -> str:
    """A page as HTML.

    Args:
        template: the name of a file in `templates/`.
        data: what the page's script reads, as JSON; any text in it is escaped, also `</script>`.
        values: what else the template shows; text is escaped.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__name__.rpartition(".")[0]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["score"] = _score
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":"), "allow_nan": False}
    return environment.get_template(template).render(data=data, **values)


def _score(percent: float | None) -> str:
    """A score in percent as in the tables of reports: a fraction of 1, n/a where it is not defined."""
    return "n/a" if percent is None else f"{percent / 100:z.3f}"
