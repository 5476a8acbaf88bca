"""The console: the HTTP API, health endpoints and the pages for the people who look."""
