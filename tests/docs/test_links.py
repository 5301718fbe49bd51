"""Links of the README and of docs/ lead somewhere, and paths that are named exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]

LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
PATH = re.compile(r"`((?:pipeline|stages|data|cache|tests|docs|\.src|\.ci)/[\w./-]*)`")
# Paths of a user's own machine, or of a cache, which begin as one of ours does.
NOT_OURS = ("cache/train", "data/train", "data/test")


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(page: Path) -> list[str]:
    """Links of a page to files that are not there, or to headings that no page has."""
    found = []
    for target in LINK.findall(prose(page)):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            found.append(target)
    return found


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    assert broken_links(page) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One thing\n[a](#one-thing) [b](page.md#one-thing) [c](#two) [d](gone.md) [e](page.md#gone)\n")
    assert broken_links(page) == ["#two", "gone.md", "page.md#gone"]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_files_of_the_repository_that_a_page_names_exist(page: Path) -> None:
    named = {path for path in PATH.findall(prose(page)) if not path.startswith(NOT_OURS)}
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_no_page_has_a_place_that_is_still_to_be_filled_in(page: Path) -> None:
    assert "TO BE FILLED IN" not in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_page_of_docs_is_reached_from_the_readme(page: Path) -> None:
    linked = {(ROOT / target.partition("#")[0]).resolve() for target in LINK.findall(prose(ROOT / "README.md"))}
    assert page == ROOT / "README.md" or page in linked
