"""One-machine mode: an embedded broker and store, a supervisor over them, and believable traffic."""
