"""A page as HTML: one file, styled, without scripts, fetching nothing.

The template refuses network resources by its content security policy, so a browser names a slip in
its console instead of quietly fetching something.
"""

from importlib import resources

import jinja2
import markupsafe

from landmint.pipeline.report.blocks import Page
from landmint.pipeline.report.palette import format_styles


def render(page: Page) -> str:
    """The page as one self-contained HTML document; all texts are escaped."""
    here = resources.files("landmint.pipeline.report")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((here / "page.html.j2").read_text(encoding="utf-8"))
    page_styles = (here / "page.css").read_text(encoding="utf-8")
    css = markupsafe.Markup(format_styles() + page_styles)
    return template.render(page=page, css=css) + "\n"
