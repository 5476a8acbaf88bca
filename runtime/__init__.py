"""What every room stands on: settings, names, the clock, and the clients for Kafka and Redis."""
