"""The real servers of scripts.services, one of each kind: what the fault tests rely on."""

import os
from pathlib import Path

import pytest
from scripts.services.fleet import RECIPES

from tests.services import private


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_server_hangs_dies_and_comes_back_as_it_was_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    with private(name, tmp_path) as server:
        place, variables, first = server.place, server.env, server.pid
        server.start()
        assert server.pid == first, "a server that runs is left alone"
        assert server.recipe.state(place) == "ready"
        server.pause()
        assert server.recipe.state(place) == ""
        server.resume()
        assert server.recipe.state(place) == "ready"
        server.kill()
        assert (server.process, server.recipe.state(place)) == (None, "")
        server.start()
        assert server.recipe.state(place) == "ready"
        assert (server.pid != first, server.env, server.place) == (True, variables, place)
        server.pause()
        last = server.process
        assert last is not None
    assert not last.alive
    assert not place.data.exists()
    assert os.listdir(tmp_path) == []  # noqa: PTH208
