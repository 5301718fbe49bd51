"""A page to search with, for this machine: a box for words, a place to drop a picture, thumbnails."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from PIL import Image

from .....data.pixels import to_picture
from ...predict.pictures import read_pixels
from ..http.handler import Handler, Refused, Server, number_of
from .index import Hit, SearchIndex

_PAGE = Path(__file__).with_name("page.html")
_SIDE, _MOST = 160, 200  # pixels of a thumbnail; pictures in an answer


class SearchHandler(Handler):
    """Answers for one index."""

    index: ClassVar[SearchIndex]

    def page(self) -> None:
        self.send(_PAGE.read_bytes(), "text/html; charset=utf-8")

    def by_text(self) -> None:
        words = self.query()
        if not words.get("q", "").strip():
            raise Refused(400, "q is empty: say what to search for")
        self._hits(self.index.by_text(words["q"], number_of(words, "top", 24, _MOST)))

    def by_image(self) -> None:
        self._hits(self.index.by_image(self.body(), number_of(self.query(), "top", 24, _MOST)))

    def thumbnail(self) -> None:
        number = self.query().get("n", "")
        if not number.isdigit():
            raise Refused(400, "n is the number of a picture")
        picture = to_picture(read_pixels(self.index.path(int(number)), 3))
        picture.thumbnail((_SIDE, _SIDE), Image.Resampling.BILINEAR)
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=85)
        self.send(out.getvalue(), "image/jpeg")

    def _hits(self, hits: Sequence[Hit]) -> None:
        self.send_json(
            [{"number": hit.number, "name": str(hit.path.name), "cosine": round(hit.cosine, 4)} for hit in hits]
        )


SearchHandler.routes = {
    ("GET", "/"): SearchHandler.page,
    ("GET", "/search"): SearchHandler.by_text,
    ("POST", "/search"): SearchHandler.by_image,
    ("GET", "/thumbnail"): SearchHandler.thumbnail,
}


def search_server(index: SearchIndex, host: str, port: int) -> Server:
    """A server that stands and does not answer yet; port 0 takes a free one."""
    return Server((host, port), type("BoundSearchHandler", (SearchHandler,), {"index": index}))
