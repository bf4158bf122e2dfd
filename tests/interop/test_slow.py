"""What the slow scenarios, running since the session started, came to."""
import pytest

import slow
from pairs import CONFIGURATIONS, title

LIMIT = slow.REKEY_AFTER_TIME + 60


@pytest.mark.last
@pytest.mark.deadline(LIMIT)
@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=title)
@pytest.mark.parametrize("scenario", slow.SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_in_time(fleet, scenario, configuration):
    fleet.outcome(scenario, configuration, LIMIT)
