"""From alert to page: incidents, escalation, people and the channels that reach them."""
