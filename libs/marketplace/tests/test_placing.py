"""Sending an order on real sockets: once, and honest about what is not known."""

import asyncio
import contextlib
import json
import socket
import struct
import threading

import pytest
import uvloop

from purser_marketplace.answers import LARGEST_ANSWER
from purser_marketplace.placing import (
    Ambiguous,
    DefinitelyRefused,
    Placed,
    classify,
    send_order_once,
)

BODY = b'{"type": "sales"}'
HEADERS = {"Authorization": "Bearer token-of-the-account"}
PAGE = b"<html><h1>504 Gateway Time-out</h1></html>"


async def test_a_refused_connection_is_not_sent(unused_port):
    sent = await send_order_once(f"http://127.0.0.1:{unused_port}/orders", HEADERS, BODY)

    assert (sent.outcome, sent.status, sent.error) == ("no", None, "ConnectError")


async def test_a_name_that_does_not_resolve_is_not_sent():
    sent = await send_order_once("http://marketplace.invalid/orders", HEADERS, BODY)

    assert (sent.outcome, sent.error) == ("no", "ConnectError")


@pytest.fixture
def resetting():
    """The address of a server that resets every connection as it is made."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)

    def reset():
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = listener.accept()
                accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                accepted.close()

    thread = threading.Thread(target=reset)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/orders"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_a_connection_that_is_reset_as_it_is_made_has_an_outcome(resetting):
    """On the loop that services run on, where one of many has no socket left to be looked at."""

    async def burst():
        sends = (send_order_once(resetting, HEADERS, BODY) for _ in range(100))
        return await asyncio.gather(*sends)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcomes = {sent.outcome for _ in range(3) for sent in runner.run(burst())}
    assert outcomes <= {"no", "unknown"}


async def test_a_failed_handshake_is_not_sent():
    connections = 0

    async def plain(reader, writer):
        nonlocal connections
        connections += 1
        writer.write(b"this is not TLS\r\n\r\n")
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        sent = await send_order_once(f"https://127.0.0.1:{port}/orders", HEADERS, BODY)

    assert (sent.outcome, sent.error) == ("no", "ConnectError")
    assert connections == 1


async def test_the_sender_is_told_when_the_whole_request_has_left(serving, answer_of):
    left = asyncio.Event()

    async def answer_afterwards(reader, writer):
        await left.wait()
        writer.write(answer_of(201, b'{"id": "1"}'))

    server = await serving(answer_afterwards)
    sent = await send_order_once(server.url, HEADERS, BODY, answer_within=5, on_sent=left.set)

    assert (sent.outcome, sent.status) == ("yes", 201)


async def test_a_server_that_takes_the_order_and_hangs_up_leaves_it_unknown(serving):
    async def hang_up(reader, writer):
        writer.close()

    server = await serving(hang_up)
    sent = await send_order_once(server.url, HEADERS, BODY)

    assert (sent.outcome, sent.status) == ("unknown", None)
    assert (len(server.requests), server.connections) == (1, 1)


async def test_a_connection_closed_before_the_request_was_read_is_unknown():
    connections = 0

    async def close_at_once(reader, writer):
        nonlocal connections
        connections += 1
        writer.close()

    listener = await asyncio.start_server(close_at_once, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        sent = await send_order_once(f"http://127.0.0.1:{port}/orders", HEADERS, BODY)

    assert sent.outcome == "unknown"
    assert connections == 1


async def test_an_answer_cut_short_is_unknown(serving):
    async def half(reader, writer):
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"id": "1"')
        await writer.drain()
        writer.close()

    server = await serving(half)
    sent = await send_order_once(server.url, HEADERS, BODY)

    assert (sent.outcome, sent.status, sent.body) == ("unknown", None, b"")
    assert len(server.requests) == 1


async def test_silence_is_unknown_after_the_time_to_answer(serving):
    never = asyncio.Event()

    async def silent(reader, writer):
        await never.wait()

    server = await serving(silent)
    sent = await send_order_once(server.url, HEADERS, BODY, answer_within=0.2)

    assert sent.outcome == "unknown"
    assert sent.error == "ReadTimeout"
    assert len(server.requests) == 1


async def test_a_slow_answer_within_its_time_is_an_answer(serving, answer_of):
    async def slow(reader, writer):
        await asyncio.sleep(0.3)
        writer.write(answer_of(200, b'{"id": "O1"}'))
        await writer.drain()

    server = await serving(slow)
    sent = await send_order_once(server.url, HEADERS, BODY, answer_within=5.0)

    assert (sent.outcome, sent.status, sent.body) == ("yes", 200, b'{"id": "O1"}')


@pytest.mark.parametrize("status", [301, 307, 308, 401, 403, 408, 429, 500, 502, 503, 504])
async def test_no_answer_makes_it_send_again(serving, answer_of, status):
    async def answer(reader, writer):
        location = {"Location": "/orders", "Retry_After": "3", "X_Correlation_ID": "a8n-9"}
        writer.write(answer_of(status, PAGE, "text/html", **location))
        await writer.drain()

    server = await serving(answer)
    sent = await send_order_once(server.url, HEADERS, BODY)

    assert (sent.outcome, sent.status, sent.body) == ("yes", status, PAGE)
    assert (sent.correlation_id, sent.retry_after) == ("a8n-9", 3.0)
    assert (len(server.requests), server.connections) == (1, 1)


async def test_every_send_has_a_connection_of_its_own(serving, answer_of):
    async def answer(reader, writer):
        writer.write(answer_of(200, b'{"id": "O1"}'))
        await writer.drain()

    server = await serving(answer)
    for _ in range(3):
        assert (await send_order_once(server.url, HEADERS, BODY)).outcome == "yes"

    assert server.connections == 3
    assert all(b"connection: close" in request.lower() for request in server.requests)


async def test_the_bytes_and_headers_are_sent_as_given(serving, answer_of):
    async def answer(reader, writer):
        writer.write(answer_of(200, b"{}"))
        await writer.drain()

    server = await serving(answer)
    await send_order_once(server.url, HEADERS | {"content-type": "application/x-order"}, BODY)

    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert body == BODY
    assert head.startswith(b"POST /orders HTTP/1.1")
    assert b"Authorization: Bearer token-of-the-account" in head
    assert head.lower().count(b"content-type") == 1


async def test_a_huge_answer_is_cut_and_its_status_kept(serving, answer_of):
    async def answer(reader, writer):
        writer.write(answer_of(400, b"x" * (LARGEST_ANSWER + 1)))
        await writer.drain()

    server = await serving(answer)
    sent = await send_order_once(server.url, HEADERS, BODY)

    assert (sent.outcome, sent.status, len(sent.body)) == ("yes", 400, LARGEST_ANSWER)


async def test_a_header_that_cannot_be_sent_is_never_quoted(unused_port):
    url = f"http://127.0.0.1:{unused_port}/orders"
    sent = await send_order_once(url, {"X-Subscription-Key": "sécret-key"}, BODY)

    assert "cret" not in repr(sent)


async def test_a_cancelled_send_has_left_at_most_one_request(serving):
    arrived, never = asyncio.Event(), asyncio.Event()

    async def silent(reader, writer):
        arrived.set()
        await never.wait()

    server = await serving(silent)
    sending = asyncio.create_task(send_order_once(server.url, HEADERS, BODY))
    await arrived.wait()
    sending.cancel()

    with pytest.raises(asyncio.CancelledError):
        await sending
    assert len(server.requests) == 1


def test_an_order_with_an_id_was_placed():
    placing = classify(200, b'{"id": 5001, "orderNumber": "SO5001", "status": "submitted"}')

    assert isinstance(placing, Placed)
    assert (placing.order.id, placing.order.order_number) == ("5001", "SO5001")


def test_an_order_is_placed_even_if_other_fields_make_no_sense():
    body = {"id": "1", "creationDate": "soon", "total": 5, "products": "none", "type": "sales"}
    placing = classify(201, json.dumps(body).encode())

    assert isinstance(placing, Placed)
    assert (placing.order.id, placing.order.type) == ("1", "sales")
    assert placing.order.total is None


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"{}", b"[]", b'{"id": null}', b'{"id": ""}', b'{"id": {}}', b'{"id"']
)
def test_a_2xx_without_an_order_id_is_ambiguous(body):
    assert isinstance(classify(200, body), Ambiguous)


@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_refusal_of_the_order_is_final(status):
    said = classify(status, b'{"message": "mpn is ambiguous"}')

    assert said == DefinitelyRefused(retryable=False, status=status, message="mpn is ambiguous")


@pytest.mark.parametrize("status", [401, 403, 429])
def test_a_refusal_of_the_account_can_be_tried_again(status):
    assert classify(status, PAGE) == DefinitelyRefused(
        retryable=True, status=status, message="an HTML page instead of an answer"
    )


@pytest.mark.parametrize(
    "status", [100, 302, 307, 402, 405, 408, 409, 413, 418, 425, 500, 502, 503, 504, 599]
)
def test_everything_else_is_ambiguous(status):
    assert isinstance(classify(status, PAGE), Ambiguous)


def test_a_conflict_is_evidence_and_no_verdict():
    said = "Subscription #1000001 already has the order #CH0004711 (LO); cancel it or wait."
    placing = classify(500, json.dumps({"message": said}).encode())

    assert isinstance(placing, Ambiguous)
    assert placing.conflict_order_number == "CH0004711"
