"""What the sender does after an answer waits for the database instead of failing."""

from datetime import timedelta
from typing import Any

import pytest

from order_service import store
from purser_common import mongo, settings
from purser_common.clock import Clock, real_now
from purser_common.errors import Unavailable
from purser_common.outbox import Outbox

AWAY = settings.Mongo(url="mongodb://127.0.0.1:9", database="none", timeout_ms=300)


@pytest.mark.parametrize(
    "ask",
    [
        lambda requests, _: requests.load("1"),
        lambda requests, _: requests.extend("1", real_now()),
        lambda _, accounts: accounts.queue("1", real_now()),
        lambda _, accounts: accounts.watch("1", real_now() + timedelta(seconds=1)),
        lambda _, accounts: accounts.extend("1", real_now()),
    ],
)
async def test_an_absent_database_is_unavailable(ask: Any) -> None:
    client = mongo.connect(AWAY)
    database = client[AWAY.database]
    requests = store.Requests(database, Outbox("order", Clock(), lambda *_: None))
    with pytest.raises(Unavailable):
        await ask(requests, store.Accounts(database))
    await mongo.close(client)
