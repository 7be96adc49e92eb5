"""Traces, and the cause that every change carries from HTTP through the outbox to the last consumer."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import Gauge

TRACEPARENT = "traceparent"

_propagator = TraceContextTextMapPropagator()
_tracer = trace.get_tracer("purser")
_lag = Gauge("event_loop_lag_seconds", "How late the event loop woke at its last look.")


@dataclass(frozen=True)
class Cause:
    """Who set something in motion, and the id under which everything that follows is found."""

    actor: str
    correlation_id: str
    causation_id: str | None = None

    def then(self, event_id: str) -> "Cause":
        """The cause of what follows from an event of this one."""
        return replace(self, causation_id=event_id)


def configure(service: str, instance: str, otlp_endpoint: str | None) -> TracerProvider:
    """Install the tracer. Without an endpoint spans still carry ids, and are not exported."""
    provider = TracerProvider(
        resource=Resource.create({"service.name": service, "service.instance.id": instance})
    )
    if otlp_endpoint:
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(otlp_endpoint)))
    trace.set_tracer_provider(provider)
    return provider


def traceparent() -> str | None:
    """The W3C trace context of the current span, or None outside any."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get(TRACEPARENT)


def trace_id() -> str | None:
    """The current trace's id in hexadecimal, or None outside any."""
    context = trace.get_current_span().get_span_context()
    return format(context.trace_id, "032x") if context.is_valid else None


@contextmanager
def continued(name: str, parent: str | None, kind: SpanKind = SpanKind.CONSUMER) -> Iterator[Span]:
    """A span under a remote parent given as `traceparent`, or a new trace without one."""
    context = _propagator.extract({TRACEPARENT: parent}) if parent else otel.Context()
    with _tracer.start_as_current_span(name, context=context, kind=kind) as span:
        yield span


@contextmanager
def span(name: str, kind: SpanKind = SpanKind.INTERNAL) -> Iterator[Span]:
    """A span under the current one."""
    with _tracer.start_as_current_span(name, kind=kind) as current:
        yield current


async def watch_loop(every: float = 1.0) -> None:
    """Tell how late the event loop wakes, until cancelled. Code that blocks delays heartbeats too."""
    clock = asyncio.get_running_loop().time
    while True:
        due = clock() + every
        await asyncio.sleep(every)
        _lag.set(clock() - due)
