"""The limits of the transport fit each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.measure import REVOKE_LIMIT_S, Measure
from agents.transport import ASSIGN_LIMIT_S
from runtime.clock import WallClock
from runtime.guard import STALL_LIMIT_S, Guard
from runtime.redis import connect
from runtime.settings import Settings


@pytest.mark.parametrize("session_s", [3.0, 6.0, 45.0])
async def test_there_is_time_to_hand_partitions_over(session_s: float, tmp_path: Path) -> None:
    """A member that is slow, but alive, is waited for: to put it out makes another generation, and it comes back."""
    settings = Settings(kafka="127.0.0.1:9", redis="redis://127.0.0.1:9", data=tmp_path, session_timeout=session_s)  # type: ignore[arg-type]
    conf = Measure(settings, WallClock(), connect(settings), "127.0.0.1:9", Guard()).app.conf
    assert conf.broker_rebalance_timeout >= max(STALL_LIMIT_S, ASSIGN_LIMIT_S, 4 * REVOKE_LIMIT_S)
    assert conf.broker_rebalance_timeout < conf.broker_request_timeout, "joining is a request, answered when all have joined"
    assert conf.broker_session_timeout < conf.broker_request_timeout
