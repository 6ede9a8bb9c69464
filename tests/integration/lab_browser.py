"""Debian's chromium, looking at a notebook in JupyterLab as a person does: by its menus and its page."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import contextmanager
from typing import NamedTuple

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

READY_S = 60.0
_CELLS = """
return [...document.querySelectorAll('.jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell')].map(cell => ({
    source: cell.querySelector('.jp-InputArea-editor').innerText,
    prompt: cell.querySelector('.jp-InputArea-prompt').innerText,
    errors: [...cell.querySelectorAll('.jp-OutputArea-output')]
        .filter(output => /stderr|error/.test(output.dataset.mimeType)).map(output => output.innerText),
    text: [...cell.querySelectorAll('.jp-OutputArea-output')].map(output => output.innerText).join('\\n'),
    figures: [...cell.querySelectorAll('.jp-OutputArea-output img')].filter(image => image.naturalWidth > 0).length
        + cell.querySelectorAll('.jp-RenderedSVG svg').length,
}))
"""

_PROMPTS = """
return [...document.querySelectorAll('.jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell .jp-InputArea-prompt')]
    .map(prompt => prompt.textContent)
"""

_CONTRASTS = """
const numbers = colour => (colour.match(/[\\d.]+/g) || []).map(Number);
const over = (top, below) => {  // alpha compositing
    const [r, g, b, alpha = 1] = top;
    return [r, g, b].map((value, place) => alpha * value + (1 - alpha) * below[place]);
};
const behind = element => {
    if (!element) return [255, 255, 255];
    const own = numbers(getComputedStyle(element).backgroundColor);
    return own[3] === undefined ? own : over(own, behind(element.parentElement));
};
const luminance = colour => {
    const [r, g, b] = colour.map(value => value / 255).map(
        value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
return [...document.querySelectorAll(arguments[0])].map(element => {
    const words = [...element.childNodes].filter(node => node.nodeType === Node.TEXT_NODE)
        .map(node => node.textContent.trim()).join(' ').trim();
    const style = getComputedStyle(element), background = behind(element);
    const [r, g, b, alpha = 1] = numbers(style.color);
    const levels = [over([r, g, b, alpha * style.opacity], background), background]
        .map(luminance).sort((x, y) => y - x);
    return [words, (levels[0] + 0.05) / (levels[1] + 0.05)];
}).filter(([words]) => words);
"""


class ShownCell(NamedTuple):
    """A code cell as the page shows it.

    Attributes
    ----------
    source
        What stands in it.
    prompt
        ``[3]:`` when it was run, ``[*]:`` while it is, ``[ ]:`` before.
    errors
        Texts of its outputs that are tracebacks or standard error.
    text
        Text of all its outputs.
    figures
        Number of pictures that are really drawn.
    """

    source: str
    prompt: str
    errors: tuple[str, ...]
    text: str
    figures: int


def faults(cells):
    """Give a sentence for everything that is wrong with a notebook of which every cell should have run.

    Parameters
    ----------
    cells
        Its code cells, as :meth:`NotebookPage.cells` gives them.
    """
    if not cells:
        return ["the page shows no code cell"]
    found = []
    for number, cell in enumerate(cells, 1):
        if not cell.prompt.strip("[]: \n").isdigit():
            found.append(f"code cell {number} was not run to its end: {cell.prompt!r}")
        found += [f"code cell {number} shows an error: {error}" for error in cell.errors]
    return found


class NotebookPage:
    """A notebook, opened in a browser."""

    def __init__(self, driver):
        self._driver = driver

    def open(self, address):
        """Open a notebook at its address and wait for its kernel."""
        self._driver.get(address)
        self.wait(lambda: self.is_idle() and self.cells(), READY_S, "the notebook and its kernel")

    def is_idle(self):
        """Say whether the status bar shows a kernel that has nothing to do."""
        shown = self._driver.find_elements(By.ID, "jp-main-statusbar")
        return bool(shown) and "| Idle" in shown[0].text and "No Kernel" not in shown[0].text

    def cells(self):
        """Give the code cells in their order."""
        return [ShownCell(**cell | {"errors": tuple(cell["errors"])}) for cell in self._driver.execute_script(_CELLS)]

    def start_all(self):
        """Choose Run > Run All Cells."""
        self.choose("Run", "Run All Cells")

    def choose(self, menu, *path):
        """Choose an item of the menu bar by what is written on it and on the menus that lead to it."""
        self._click(".lm-MenuBar-item", menu)
        for words in path:
            self._click(".lm-Menu-itemLabel", words)

    def _click(self, selector, words):
        """Click on the shown element of these words, as soon as there is one."""

        def shown():
            found = [one for one in self._driver.find_elements(By.CSS_SELECTOR, selector) if one.text == words]
            return found[0] if found and found[0].is_displayed() else None

        self.wait(shown, 10, f"the menu {words}").click()

    def run_all(self, timeout_s=120.0):
        """Run all cells and wait until no more is running; give the cells."""
        self.start_all()
        return self.wait_for_end(timeout_s)

    def wait_for_end(self, timeout_s):
        """Wait until no cell is running any more; give the cells."""
        self.wait(self._ended, timeout_s, "the end of the last cell")
        return self.cells()

    def _ended(self):
        prompts = [prompt.strip("[]: \n") for prompt in self.script(_PROMPTS)]  # asked often, and read without a layout
        return self.is_idle() and "*" not in prompts and any(prompt.isdigit() for prompt in prompts)

    def wait(self, condition, timeout_s, what):
        """Wait until a condition holds; give its value."""
        return WebDriverWait(self._driver, timeout_s, poll_frequency=0.2).until(
            lambda _: condition(), f"waited {timeout_s:g} s for {what}"
        )

    def wait_for_script(self, text, timeout_s, what):
        """Wait until JavaScript returns something true."""
        self.wait(lambda: self.script(text), timeout_s, what)

    def requests(self):
        """Give the addresses that pages have asked for since the last time, also those that were not answered."""
        messages = (json.loads(entry["message"])["message"] for entry in self._driver.get_log("performance"))
        sent = [told["params"] for told in messages if told["method"] == "Network.requestWillBeSent"]
        return [params["request"]["url"] for params in sent if params["request"]["url"].startswith("http")]

    def resize(self, width_px, height_px):
        """Make the window this large."""
        self._driver.set_window_size(width_px, height_px)

    def contrasts(self, selector):
        """Give the words that stand in the elements themselves, and the ratio of their contrast by WCAG 2.1."""
        return [tuple(pair) for pair in self._driver.execute_script(_CONTRASTS, selector)]

    def screenshot(self, path):
        """Write what the window shows as a PNG."""
        assert self._driver.save_screenshot(path), path

    def script(self, text, *arguments):
        """Run JavaScript in the page and give what it returns."""
        return self._driver.execute_script(text, *arguments)


@contextmanager
def notebook_page(private):
    """Start chromium and end it whatever happens; give a :class:`NotebookPage`.

    Parameters
    ----------
    private
        An empty folder for its profile and log.
    """
    options = webdriver.ChromeOptions()
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})  # for NotebookPage.requests
    options.binary_location = shutil.which("chromium")
    for argument in (
        "--headless=new",
        "--window-size=1280,900",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-dev-shm-usage",  # /dev/shm is small in containers
        "--disable-gpu",
        "--no-first-run",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # nothing leaves this machine
        f"--user-data-dir={private}",
        *(["--no-sandbox"] if os.geteuid() == 0 else []),  # chromium's sandbox refuses root
    ):
        options.add_argument(argument)
    service = Service(shutil.which("chromedriver"), log_output=str(private / "chromedriver.log"))
    driver = webdriver.Chrome(options=options, service=service)
    driver.set_script_timeout(120)  # axe reads a whole page; a bound for a busy machine, where it has 30 s by itself
    try:
        yield NotebookPage(driver)
    finally:
        driver.quit()
