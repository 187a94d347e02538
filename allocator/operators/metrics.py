"""Prometheus metrics. Every label value that can occur is there from the start: a rate exists before the first event."""

import math
from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from allocator.operators.lag import LoopLag
from allocator.operators.sources import GatewaySnapshot, Sources
from allocator.sessions.history import BUCKETS, OUTCOMES, Durations
from allocator.sessions.model import SessionState
from allocator.sessions.stats import Stats
from allocator.settings import Settings

Samples = Iterable[tuple[tuple[str, ...], float]]
GATEWAY_EVENTS = (
    "connections_accepted",
    "upstream_connects",
    "upstream_failures",
    "retries",
    "malformed_requests",
    "malformed_replies",
)


class Metrics(Collector):
    """Nothing is counted here: what others counted is read when Prometheus asks."""

    def __init__(self, settings: Settings, sources: Sources, lag: LoopLag) -> None:
        self._profiles = tuple(profile.name for profile in settings.profiles)
        self._sources = sources
        self._lag = lag
        self._registry = CollectorRegistry()  # of its own: two allocators fit one process
        self._registry.register(self)

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)

    def describe(self) -> Iterator[Metric]:
        """Nothing: else `collect` would be called for the names while the sources are still being made."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        yield _gauge("ready", "1 when what this process knows can be believed.", float(self._sources.ready()))
        yield _gauge("event_loop_lag_seconds", "The most that the event loop was late lately.", self._lag.longest())
        yield from self._sessions(self._sources.stats())
        yield from _gateway(self._sources.gateway())

    def _sessions(self, stats: Stats) -> Iterator[Metric]:
        by_profile = ("profile", "state")
        queued = (((name,), float(stats.sessions.get((name, SessionState.QUEUED.value), 0))) for name in self._profiles)
        yield _gauges("sessions", "Sessions by state.", by_profile, stats.sessions.items())
        yield _gauges("queue_length", "Users who wait for a WebUI that is not there yet.", ("profile",), queued)
        yield _gauges("gameservers", "GameServers by state.", ("fleet", "state"), stats.gameservers.items())
        failed = (((fleet,), float(count)) for fleet, count in stats.failed_starts.items())
        yield _gauges("failed_starts", "GameServers that failed before they were Ready, in a row.", ("fleet",), failed)
        yield _gauge("unreadable_sessions", "Leases of sessions that this version cannot read.", stats.unreadable)
        yield _gauge("leading", "1 in the process that leads.", float(stats.leading))
        none = {(profile, outcome): Durations() for profile in self._profiles for outcome in OUTCOMES}
        starts = HistogramMetricFamily(
            "atelier_session_start_seconds",
            "From the click to the end of the wait, by how it ended.",
            labels=("profile", "outcome"),
        )
        for labels, durations in {**none, **stats.starts}.items():
            counts = zip(BUCKETS, accumulate(durations.buckets), strict=True)
            starts.add_metric(labels, [(_le(bound), float(count)) for bound, count in counts], durations.total)
        yield starts


def _gateway(snapshot: GatewaySnapshot) -> Iterator[Metric]:
    counters = snapshot.counters
    events = (((name,), float(getattr(counters, name))) for name in GATEWAY_EVENTS)
    carried = ((("received",), float(counters.received_bytes)), (("sent",), float(counters.sent_bytes)))
    opened = ((("http",), float(snapshot.open_connections)), (("websocket",), float(snapshot.open_websockets)))
    yield _counters("requests", "Requests by who answered, and how.", ("kind", "outcome"), counters.requests.items())
    yield _counters("bytes", "Bytes from and to browsers.", ("direction",), carried)
    yield _counters("gateway_events", "What else the gateway counts.", ("event",), events)
    yield _gauges("open_connections", "Browsers' open connections; WebSockets count in both.", ("kind",), opened)


def _le(bound: float) -> str:
    return "+Inf" if math.isinf(bound) else str(bound)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"atelier_{name}", text, value)


def _gauges(name: str, text: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    family = GaugeMetricFamily(f"atelier_{name}", text, labels=labels)
    for values, sample in samples:
        family.add_metric(values, sample)
    return family


def _counters(name: str, text: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    family = CounterMetricFamily(f"atelier_{name}", text, labels=labels)
    for values, sample in samples:
        family.add_metric(values, sample)
    return family
