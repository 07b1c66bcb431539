"""The report in Prometheus' text format."""

from __future__ import annotations

import platform
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from test_framework import __version__
from test_framework.health import HealthReport, Overall
from test_framework.monitoring.watch import Watch
from test_framework.services.base import Health, Probe

__all__ = ["MetricsPage"]

PREFIX = "test_stack_"


class MetricsPage:
    """Renders what ``watch`` knows at the moment of the call."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self, watch: Watch) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_StackCollector(watch))
        ProcessCollector(registry=self._registry)  # the monitor's own memory and CPU, where the system tells

    def render(self) -> bytes:
        return generate_latest(self._registry)


class _StackCollector(Collector):
    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def describe(self) -> list[Metric]:
        return []  # nothing to check for duplicates, and nothing to collect before somebody asks

    def collect(self) -> Iterator[Metric]:
        report = self._watch.report()
        yield from _whole(report)
        yield from _servers(report)
        yield _seed_rows(report)
        yield from self._counters()

    def _counters(self) -> Iterator[Metric]:
        probes = CounterMetricFamily(f"{PREFIX}probes", "Probes made.", labels=["service"])
        failures = CounterMetricFamily(
            f"{PREFIX}probe_failures", "Probes whose server was not healthy.", labels=["service", "reason"]
        )
        for name in self._watch.names:
            probes.add_metric([name], self._watch.probes[name])
            for health in Health:
                if health is not Health.HEALTHY:
                    failures.add_metric([name, health.value], self._watch.failures[name, health])
        yield probes
        yield failures


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, text, value=value)


def _whole(report: HealthReport) -> Iterator[Metric]:
    yield _gauge("healthy", "1 when every server answers, is seeded and belongs to the same stack.", report.healthy)
    status = GaugeMetricFamily(f"{PREFIX}status", "1 for the state the stack is in.", labels=["status"])
    for state in Overall:
        status.add_metric([state.value], report.status is state)
    yield status
    if report.active_leases is not None:
        yield _gauge("active_leases", "Namespaces that tests own now.", report.active_leases)
    build = InfoMetricFamily(f"{PREFIX}monitor_build", "The monitor itself.")
    build.add_metric([], {"version": __version__, "python": platform.python_version()})
    yield build


def _value_of(probe: Probe, what: str) -> float | None:
    if what == "up":
        return float(probe.health is Health.HEALTHY)
    if what == "seeded":
        return float(probe.seed is not None)
    if what == "probe_latency_seconds":
        return None if probe.latency_ms is None else probe.latency_ms / 1000
    value = probe.memory_bytes if what == "memory_bytes" else probe.connections
    return None if value is None else float(value)


_SERVER_GAUGES = {
    "up": "1 when the server answered its last probe as it should.",
    "seeded": "1 when the server holds seed data.",
    "probe_latency_seconds": "From asking to the answer, connection included.",
    "memory_bytes": "Memory, as the server itself reports it.",
    "connections": "Connected clients, as the server itself reports it.",
}


def _servers(report: HealthReport) -> Iterator[Metric]:
    for what, text in _SERVER_GAUGES.items():
        family = GaugeMetricFamily(PREFIX + what, text, labels=["service"])
        for reading in report.readings:
            if (value := _value_of(reading.probe, what)) is not None:
                family.add_metric([reading.probe.service], value)
        yield family
    age = GaugeMetricFamily(f"{PREFIX}probe_age_seconds", "Since the server's last answer.", labels=["service"])
    info = InfoMetricFamily(f"{PREFIX}service", "Where the server is and which version.", labels=["service"])
    for reading in report.readings:
        probe = reading.probe
        age.add_metric([probe.service], reading.age)
        info.add_metric([probe.service], {"address": probe.address, "version": probe.version or ""})
    yield age
    yield info


def _seed_rows(report: HealthReport) -> Metric:
    rows = GaugeMetricFamily(f"{PREFIX}seed_rows", "Rows the seed loaded.", labels=["service", "object"])
    for reading in report.readings:
        for name, count in (reading.probe.seed.counts if reading.probe.seed else {}).items():
            rows.add_metric([reading.probe.service, name], count)
    return rows
