"""The installation that a command talks to: its settings, clock and servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.clock import Clock
    from runtime.settings import Settings


def settings(**overrides: object) -> Settings:
    """The settings; servers that are not set are the embedded ones of this folder, where they run.

    Raises SettingsError.
    """
    from runtime.settings import load_settings

    found = load_settings(**overrides)
    if found.kafka is None or found.redis is None:
        from local.supervisor import resolve

        found = resolve(found)
    return found


def clock(of: Settings) -> Clock:
    """The clock that the settings name. Raises SettingsError."""
    from runtime.clock import clock_from
    from runtime.settings import SettingsError

    try:
        return clock_from(of.clock)
    except ValueError as error:
        raise SettingsError(str(error)) from None


def secrets(of: Settings) -> list[str]:
    """What must not be seen in a log."""
    from urllib.parse import urlsplit

    found = [one.get_secret_value() for one in (of.mask_key, of.deadman, of.console_token, of.oidc_secret) if one is not None]
    found += [key.get_secret_value() for key in of.link_keys]
    if of.redis is not None:
        password = urlsplit(of.redis.get_secret_value()).password
        if password:
            found.append(password)
    return found
