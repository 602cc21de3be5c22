"""A real browser for pages: Chromium without a window, through playwright."""

import contextlib
import json
import os
import re
import shutil

import pytest

#: Of an installed Chromium; otherwise that which `playwright install chromium` downloads.
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


@contextlib.contextmanager
def start_browser():
    """A browser; the test is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: make browser").sync_playwright
    with playwright() as started:
        program = next(filter(None, map(shutil.which, PROGRAMS)), started.chromium.executable_path)
        if not os.path.exists(program):
            pytest.skip("needs Chromium: make browser")
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])  # root may not use the sandbox
        yield browser
        browser.close()


def page_data(path):
    """What the script of a page reads."""
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S).group(1))


class Opened:
    """A page from disk, and what went wrong in it.

    Args:
        browser: a started one.
        path: of the HTML file.
        options: of playwright's `new_context`.
    """

    def __init__(self, browser, path, **options):
        self.context = browser.new_context(offline=True, **options)
        self.page = self.context.new_page()
        self.problems = []
        self.page.on("console", lambda message: self.problems.append(message.text))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("requestfailed", lambda request: self.problems.append(request.url))
        self.page.goto(path.as_uri())

    def close(self):
        self.context.close()
        assert self.problems == []
