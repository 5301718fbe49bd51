"""What the console prints where nobody watches: wide enough for tables, and numbers with the right noun."""

import io

import pytest
from rich.table import Table

from teachercache.pipeline.console import WideConsole, counted


def test_a_table_in_a_pipe_is_not_squeezed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    table = Table("signal", *("a column of some width" for _ in range(5)))
    file = io.StringIO()
    WideConsole(file=file).print(table)
    assert len(file.getvalue().splitlines()[1]) > 120
    monkeypatch.setenv("COLUMNS", "60")
    assert WideConsole(file=io.StringIO()).width == 60


def test_numbers_have_the_right_noun() -> None:
    assert [counted(n, "shard") for n in (0, 1, 1200)] == ["0 shards", "1 shard", "1,200 shards"]
    assert counted(2, "shard that is", "shards that are") == "2 shards that are"
