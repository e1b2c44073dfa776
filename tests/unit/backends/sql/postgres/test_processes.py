"""Processes that fork."""

from __future__ import annotations

from tests.unit.backends.sql.postgres.conftest import Open, Work


def test_a_forked_child_writes_and_is_told_while_the_parent_goes_on_and_closes(opened: Open, work: Work) -> None:
    output, errors = work("fork", "new_ui").communicate(timeout=30)
    assert output == "child ended with 0\n", errors
    assert opened().flags.read("staging", "new_ui").version == 4
