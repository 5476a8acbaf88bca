"""The Faust wiring: chunked transport, measure, evaluate, and the worker that runs both."""
