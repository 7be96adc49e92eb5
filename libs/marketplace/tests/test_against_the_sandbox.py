"""The client and the sandbox read the same contract: each is the other's check."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from purser_marketplace.client import Marketplace
from purser_marketplace.errors import NotFound, Unauthorized
from purser_marketplace.models import NewOrder
from purser_marketplace.placing import Placed, classify, send_order_once
from purser_marketplace.token import BasicAuthentication, TokenSource


def _await_listening(process, port):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert process.poll() is None, "the sandbox ended while it started"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise AssertionError("the sandbox does not listen")


@pytest.fixture
def base_url(unused_port, tmp_path):
    environment = dict(os.environ) | {
        "SANDBOX_PORT": str(unused_port),
        "SANDBOX_DATA_DIR": str(tmp_path),
        "SANDBOX_STRICT": "true",
        "SANDBOX_SUBMITTED_SECONDS": "0",
        "SANDBOX_PROCESSING_SECONDS": "0",
        "SANDBOX_MAX_PAGE_SIZE": "5",
    }
    process = subprocess.Popen([sys.executable, "-m", "purser_sandbox"], env=environment)
    try:
        _await_listening(process, unused_port)
        yield f"http://127.0.0.1:{unused_port}/marketplace/eu"
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
async def http():
    async with httpx.AsyncClient() as client:
        yield client


def account(http, base_url, user="distributor"):
    return BasicAuthentication(
        TokenSource(http, base_url, "eu", "distributor", f"{user}-password", "distributor-key")
    )


async def test_wrong_credentials_are_unauthorized(base_url, http):
    shop = Marketplace(http, base_url, account(http, base_url, "another"))

    with pytest.raises(Unauthorized):
        _ = [row async for row in shop.resellers()]


async def test_a_purchase_from_the_catalog_to_the_subscription(base_url, http):
    authentication = account(http, base_url)
    shop = Marketplace(http, base_url, authentication)
    resellers = [row async for row in shop.resellers()]
    customers = [row async for row in shop.reseller_customers(resellers[0].id)]
    products = [row async for row in shop.products()]
    assert len(products) > 20
    product = next(row for row in products if row.mpn == "SIMBB:0001_P1Y:M")
    assert product.mpn is not None
    sale = NewOrder.sales(
        customer_id=customers[0].id,
        po_number="PO-77",
        mpn=product.mpn,
        vendor=product.vendor,
        subscription_period=product.subscription_period,
        billing_period=product.billing_period,
        quantity=3,
    )
    estimate = await shop.estimate(sale)
    assert estimate.total is not None
    assert estimate.total.amount > 0

    started = datetime.now(UTC) - timedelta(minutes=10)
    body = json.dumps(sale.to_json()).encode()
    sent = await send_order_once(base_url + "/orders", await authentication.headers(), body)
    assert (sent.outcome, sent.status) == ("yes", 200)
    placed = classify(200, sent.body)
    assert isinstance(placed, Placed)

    listed = [row async for row in shop.orders(customer_id=customers[0].id, created_from=started)]
    assert placed.order.id in [row.id for row in listed]
    order = await shop.order(placed.order.id)
    assert (order.po_number, order.status) == ("PO-77", "completed")
    subscription_id = order.subscription_id or order.products[0].subscription_id
    assert subscription_id is not None
    subscription = await shop.subscription(subscription_id)
    assert [line.quantity for line in subscription.products] == [3]
    assert subscription.ms_customer_id
    assert (await shop.set_auto_renewal(subscription_id, False)).renewal_status is False


async def test_an_unknown_id_is_not_found(base_url, http):
    shop = Marketplace(http, base_url, account(http, base_url))

    for read in (shop.order, shop.subscription, shop.customer, shop.reseller):
        with pytest.raises(NotFound):
            await read("99999999")
