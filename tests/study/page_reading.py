"""Reads HTML as strictly as these tests need."""

import re
from collections import Counter
from html.parser import HTMLParser

VOID = {"input", "img", "br", "meta", "link", "hr"}
NAMESPACE = "http://www.w3.org/2000/svg"


class Page(HTMLParser):
    """Elements with their attributes and text; complains about tags that do not match."""

    def __init__(self, text):
        super().__init__()
        self.elements, self._open = [], []
        self.text = text
        self.feed(text)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag, attributes):
        element = {"tag": tag, "text": "", **dict(attributes)}
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag, attributes):
        self.elements.append({"tag": tag, "text": "", **dict(attributes)})

    def handle_endtag(self, tag):
        assert self._open and self._open[-1]["tag"] == tag, f"</{tag}> closes {self._open[-1:]}"
        self._open.pop()

    def handle_data(self, data):
        for element in self._open:
            element["text"] += data

    def all(self, tag, **attributes):
        wanted = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}
        return [
            e
            for e in self.elements
            if e["tag"] == tag and all(e.get(k) == v for k, v in wanted.items())
        ]

    def by_id(self, name):
        (found,) = [e for e in self.elements if e.get("id") == name]
        return found

    def repeated_ids(self):
        counts = Counter(e["id"] for e in self.elements if e.get("id"))
        return {name for name, count in counts.items() if count > 1}


def foreign_addresses(text):
    """Addresses that would leave the page; SVG's namespace is a name, not an address."""
    return re.findall(r"(?:https?:)?//\w[^\s\"'<>]*", text.replace(NAMESPACE, ""))
