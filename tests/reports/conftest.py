import dataclasses
from collections.abc import Callable

import pytest

from reports.frames import Frames, load
from tests.stores import Plan, make_store


@pytest.fixture(scope="session")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Frames]:
    """The frames of a synthetic run; arguments change the plan. Tests that ask for the same plan share them."""
    made: dict[str, Frames] = {}

    def make(**changes: object) -> Frames:
        plan = dataclasses.replace(Plan(), **changes)
        if repr(plan) not in made:
            store, run_id = make_store(tmp_path_factory.mktemp("run") / "store.db", plan)
            made[repr(plan)] = load(store, run_id)
            store.close()
        return made[repr(plan)]

    return make
