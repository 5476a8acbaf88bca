"""Every kind of channel, and the channels of an installation from the tables of teams.toml."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from notifier.channels import apprise, email, outbox, pagerduty, phone, slack, sms, webhook
from notifier.channels.base import Channel
from notifier.channels.settings import Around, Table
from schemas.severity import CHANNELS


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of channel: what its table may say, and how it is made of it."""

    settings: type[Table]
    make: Callable[[str, Any, Around], Channel]


KINDS: Mapping[str, Kind] = {
    "outbox": Kind(outbox.Settings, outbox.Outbox),
    "twilio-voice": Kind(phone.Settings, phone.Phone),
    "twilio-sms": Kind(sms.Settings, sms.Sms),
    "email": Kind(email.Settings, email.Email),
    "slack": Kind(slack.Settings, slack.Slack),
    "webhook": Kind(webhook.Settings, webhook.Webhook),
    "pagerduty": Kind(pagerduty.Settings, pagerduty.PagerDuty),
    "apprise": Kind(apprise.Settings, apprise.Apprise),
}


NAMED: Mapping[str, str] = {"phone": "twilio-voice", "sms": "twilio-sms"}
"""The kinds of tables that say none, where it is not their name."""


class ChannelsError(ValueError):
    """Tables that cannot be used: every fault, each with its table and key."""


def tables_of(config: Mapping[str, Mapping[str, object]]) -> dict[str, Table]:
    """The checked tables by the channels' names. An outbox is always among them; without any table, each channel that a rule
    may name is an outbox that shows messages as that channel would. Raises ChannelsError."""
    faults: list[str] = []
    tables: dict[str, Table] = {}
    views = {name: {"kind": "outbox", "shows": name} for name in CHANNELS}
    for name, table in (config or views).items():
        said = table.get("kind", NAMED.get(name, name))
        kind = KINDS.get(said) if isinstance(said, str) else None
        if kind is None:
            faults.append(f"[channels.{name}] kind: expected one of {', '.join(KINDS)}; got {said!r}")
            continue
        try:
            tables[name] = kind.settings.model_validate({**table, "kind": said})
        except ValidationError as error:
            faults += [f"[channels.{name}] {_told(fault)}" for fault in error.errors(include_url=False)]
    tables.setdefault("outbox", outbox.Settings(kind="outbox"))
    for name, checked in tables.items():
        if checked.fallback is not None and checked.fallback not in (*config, *tables):
            faults.append(f"[channels.{name}] fallback: no channel is called {checked.fallback!r}")
    if faults:
        raise ChannelsError("\n".join(faults))
    return tables


def channels_of(config: Mapping[str, Mapping[str, object]], around: Around | None = None) -> dict[str, Channel]:
    """The channels by name. Raises ChannelsError."""
    found, tables = around or Around(), tables_of(config)
    deaf = [name for name, table in tables.items() if table.proof_s is not None and found.callbacks is None]
    if deaf:
        raise ChannelsError("\n".join(f"[channels.{name}] confirm: nothing can be heard without callbacks" for name in deaf))
    return {name: KINDS[table.kind].make(name, table, found) for name, table in tables.items()}


def _told(fault: Any) -> str:
    """`key: what was expected`, without what was given: it may be a secret."""
    key = ".".join(str(part) for part in fault["loc"])
    words = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        words = "there is no such key"
    elif fault["type"] == "missing":
        words = "it is missing"
    return f"{key}: {words}" if key else words
