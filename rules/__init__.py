"""The rules: a small language, signals, packs, and the engine that judges them. Pure: values and a clock in, values out."""
