"""Everything that crosses a wire: events, partial rollups, alerts, dead letters. Imports nothing of ours."""
