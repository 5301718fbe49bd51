"""What emoji show: name and keywords of CLDR, group, and the family of concepts that must not be torn apart.

A concept is an emoji without a skin tone. A family is what differs only in who does it, or in the hour that it shows:
man, woman and person cook; one o'clock and half past nine.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from .art import SEEN, Style, package_folder

GROUPS = (
    "smiley",
    "people",
    "animals and nature",
    "food and drink",
    "travel and places",
    "activities",
    "objects",
    "symbols",
    "flags",
)
_CATEGORIES = {
    "Smileys & Emotion": 0,
    "People & Body": 1,
    "Animals & Nature": 2,
    "Food & Drink": 3,
    "Travel & Places": 4,
    "Activities": 5,
    "Objects": 6,
    "Symbols": 7,
    "Flags": 8,
}
_WHO = {"man", "men", "woman", "women", "person", "people", "boy", "girl", "mx", "mr", "mrs", "mother"}
_HOUR = re.compile(r".+-(oclock|thirty)$")


@dataclass(frozen=True, slots=True)
class Concept:
    """`icon` is its name in the packages; `group` counts GROUPS."""

    icon: str
    name: str
    keywords: tuple[str, ...]
    group: int
    family: str


def read_concepts(packages: Path, noto: Style) -> list[Concept]:
    """Every emoji that Noto draws and CLDR names, skin tones left out, in order of their icons' names."""
    folder = package_folder("@iconify-json/noto", packages)
    characters = json.loads((folder / "chars.json").read_text(encoding="utf-8"))
    categories = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))["categories"]
    groups = {icon: _CATEGORIES[name] for name, icons in categories.items() for icon in icons}
    said = _annotations(packages)
    found: dict[str, Concept] = {}
    for code, icon in characters.items():
        character = "".join(chr(int(part, 16)) for part in code.split("-")).replace("\ufe0f", "")
        if character in said and icon in groups and noto.art(icon) == icon:
            name, keywords = said[character]
            found[icon] = Concept(icon, name, keywords, groups[icon], family(icon))
    return [found[icon] for icon in sorted(found)]


def in_every_seen_style(concepts: list[Concept], styles: dict[str, Style]) -> list[Concept]:
    """Those that the seen styles all draw."""
    return [concept for concept in concepts if all(concept.icon in styles[name].names for name in SEEN)]


def family(icon: str) -> str:
    """The icon's name without who does it; all hours are one."""
    if _HOUR.fullmatch(icon):
        return "hour"
    words = [word for word in icon.removesuffix("-facing-right").split("-") if word not in _WHO]
    return "-".join(words) or "person"


def _annotations(packages: Path) -> dict[str, tuple[str, tuple[str, ...]]]:
    """{character: name, keywords}, all in small letters."""
    folder = package_folder("cldr-annotations-full", packages)
    text = (folder / "annotations/en/annotations.json").read_text(encoding="utf-8")
    entries = json.loads(text)["annotations"]["annotations"]
    return {
        character.replace("\ufe0f", ""): (_plain(entry["tts"][0]), tuple(map(_plain, entry.get("default", []))))
        for character, entry in entries.items()
        if "tts" in entry
    }


def _plain(text: str) -> str:
    return re.sub(r"[^\w' ]+", " ", text.lower().replace("’", "'")).strip()
