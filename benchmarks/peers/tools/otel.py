"""OpenTelemetry's own instrumentations, and OpenLLMetry's, with spans that are exported in batches to a counter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.peers.tools.base import CALL, HTTP, SERVER, App, Tool


class OpenTelemetry(Tool):
    """Those that the option `parts` names, separated by blanks: asgi, httpx2, genai, openllmetry."""

    def __init__(self, options: Mapping[str, str]) -> None:
        super().__init__(options)
        self._parts = options["parts"].split()
        self._counted: Counter[str] = Counter()
        self._provider: Any = None

    def start(self) -> None:
        """Set up the SDK and the instrumentations."""
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

        counted = self._counted

        class Counting(SpanExporter):
            def export(self, spans: Sequence[Any]) -> SpanExportResult:
                counted.update(_kind(span) for span in spans)
                return SpanExportResult.SUCCESS

        self._provider = TracerProvider()
        # The default queue holds 2048 spans and drops what comes when it is full: a turn may be faster than that.
        self._provider.add_span_processor(BatchSpanProcessor(Counting(), max_queue_size=65_536))
        trace.set_tracer_provider(self._provider)
        if "genai" in self._parts:
            from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor

            OpenAIInstrumentor().instrument()
        if "openllmetry" in self._parts:
            from opentelemetry.instrumentation.openai import OpenAIInstrumentor as OpenLLMetry

            OpenLLMetry().instrument()

    def asgi(self, app: App) -> App:
        """Put the middleware around an app: one span a request, without those of its messages."""
        if "asgi" not in self._parts:
            return app
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

        spanned: App = OpenTelemetryMiddleware(app, exclude_spans=["receive", "send"])
        return spanned

    def client(self, client: Any) -> None:
        """Instrument a client: those with a transport of their own are not found."""
        if "httpx2" in self._parts:
            from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor

            HTTPX2ClientInstrumentor.instrument_client(client)

    def flush(self) -> None:
        """Export what waits."""
        self._provider.force_flush()

    def recorded(self) -> Mapping[str, int]:
        """Count the spans."""
        return self._counted


def _kind(span: Any) -> str:
    if span.kind.name == "SERVER":
        return SERVER
    return CALL if any(name.startswith(("gen_ai.", "llm.")) for name in span.attributes or {}) else HTTP


TOOL = OpenTelemetry
