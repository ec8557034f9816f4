"""The text of an HTML page, its blocks as paragraphs."""

from html.parser import HTMLParser

_UNSEEN = frozenset({"script", "style", "template", "noscript"})
_WITHIN_A_LINE = frozenset(
    {"a", "abbr", "b", "code", "em", "i", "img", "kbd", "mark", "q", "s", "small", "span", "strong", "sub", "sup", "u"}
)


def text_of_html(page: str) -> str:
    """Return what a reader of the page sees, without links and pictures."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    paragraphs = (" ".join(block.split()) for block in "".join(reader.parts).split(_BREAK))
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


_BREAK = "\0"
"""Parts paragraphs; a text has none of it."""


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self._unseen += tag in _UNSEEN
        if tag not in _WITHIN_A_LINE:
            self.parts.append(_BREAK)

    def handle_endtag(self, tag: str) -> None:
        self._unseen -= tag in _UNSEEN and self._unseen > 0
        if tag not in _WITHIN_A_LINE:
            self.parts.append(_BREAK)

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.parts.append(data)
