"""The report page taken apart, for its tests."""

import re
from html.parser import HTMLParser
from typing import Any


class Page(HTMLParser):
    """A page taken apart: its text, its elements with their attributes, and the contents of its scripts."""

    def __init__(self, html: str):
        super().__init__()
        self.text: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.scripts: dict[str, str] = {}
        self._inside: str | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append((tag, attributes))
        self._inside = {"script": attributes.get("id", f"code {len(self.scripts)}"), "style": "style"}.get(tag)

    def handle_endtag(self, tag: str) -> None:
        self._inside = None

    def handle_data(self, data: str) -> None:
        if self._inside is None:
            self.text.append(data)
        else:
            self.scripts[self._inside] = data

    def facts(self) -> dict[str, str]:
        """The numbers that stand on the page by their names."""
        words = [word.strip() for word in self.text if word.strip()]
        return dict(zip(words[:-1], words[1:], strict=True))

    def numbers(self, tag: str, attribute: str) -> list[float]:
        """An attribute of all elements that have it."""
        return [float(own[attribute]) for name, own in self.elements if name == tag and attribute in own]


def assert_alone(page: Page) -> None:
    """No element asks for anything outside the file, and the policy says so, too."""
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            assert attributes.get(name, "#").startswith(("#", "data:")), (tag, attributes)
        assert tag not in ("link", "iframe", "object", "embed", "base", "form"), tag
        assert not [name for name in attributes if name.startswith("on") or name == "style"], (tag, attributes)
    (policy,) = (own["content"] for tag, own in page.elements if own.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy
    for text in page.scripts.values():
        assert not re.search(r"https?:|url\(|@import|fetch\(|XMLHttp|WebSocket|sendBeacon|import\(", text)
