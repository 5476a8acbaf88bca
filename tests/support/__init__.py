"""What tests share: servers that can be killed, workers, events, and the one place that waits."""
