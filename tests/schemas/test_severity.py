"""The table of severities."""

from schemas.severity import CHANNELS, SEVERITIES


def test_the_severities_of_the_rules():
    assert [(s.name, s.level, s.answer_within, " ".join(s.channels)) for s in SEVERITIES.values()] == [
        ("critical", "P0", "5 minutes", "phone sms email slack webhook"),
        ("high", "P1", "15 minutes", "email slack webhook"),
        ("medium", "P2", "1 hour", "email slack"),
        ("low", "P3", "next business day", "email"),
    ]
    assert [s.answer_within_s for s in SEVERITIES.values()] == [300, 900, 3600, None]


def test_every_channel_is_one_of_the_channels():
    assert {channel for severity in SEVERITIES.values() for channel in severity.channels} == set(CHANNELS)
