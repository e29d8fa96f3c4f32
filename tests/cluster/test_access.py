"""How a cluster is reached."""

from __future__ import annotations

import pytest

from cluster.access import check_address
from trainables.errors import UserError


def test_a_cluster_that_is_not_there_is_one_clear_error() -> None:
    with pytest.raises(UserError, match=r"no Ray cluster answers at 127\.0\.0\.1:1"):
        check_address("127.0.0.1:1")
    with pytest.raises(UserError, match="must be host:port or auto, got 'nowhere'"):
        check_address("nowhere")
