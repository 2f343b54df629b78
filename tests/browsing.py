"""Pages in a real browser: opened, waited for, asked what they show."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple


class Opened(NamedTuple):
    """A page with what it complained of and what it asked for beside its own file."""

    page: Any
    complaints: list[str]
    requests: list[str]


@contextmanager
def opened(browser: Any, path: Path, *, width: int = 1400, scheme: str = "light") -> Iterator[Opened]:
    """Open a file in a tab, and check when it is closed that it was content and asked for nothing."""
    page, complaints, requests = browser.new_page(), [], []
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    try:
        yield Opened(page, complaints, requests)
        assert complaints == []
        assert [url for url in requests if not url.startswith("data:")] == [path.as_uri()]
    finally:
        page.close()


def until(page: Any, condition: str) -> None:
    """Wait for a condition; asked again and again from outside, as the page's policy lets no text be evaluated."""
    for _ in range(500):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"never came true: {condition}")


def drawn(page: Any) -> None:
    """Wait until what was asked for so far is on the canvases."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def settle(page: Any) -> None:
    """Wait until the tangents are those of the present input."""
    page.wait_for_selector("#tangents[data-settled=true]")
    until(page, "document.getElementById('norm').dataset.exact !== undefined")


def state(page: Any) -> dict[str, Any]:
    """What the playground holds."""
    settle(page)
    return page.evaluate("contractive.playground.state()")
