"""Cells and how they merge, buckets, watermark, dedupe (pure); the Redis store and the queries over it."""
