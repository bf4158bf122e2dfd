"""A plant for tests: skipped where the programs are not built; what the nodes said is shown if it does not come up."""
from contextlib import contextmanager

import plant as plants
import pytest


@contextmanager
def built_plant(*args, **options):
    missing = plants.missing_programs()
    if missing:
        pytest.skip(f"not built: {', '.join(missing)}")
    with plants.Plant(*args, **options) as plant:
        try:
            yield plant
        except BaseException:
            print(plant.logs())
            raise
