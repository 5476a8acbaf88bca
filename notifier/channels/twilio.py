"""What Twilio's channels share: the REST API (2010-04-01), and the signature of what it sends back.

https://www.twilio.com/docs/usage/requests-to-twilio, https://www.twilio.com/docs/usage/security#validating-requests.

Twilio knows no idempotency key for messages and calls. Where an answer is lost, nobody can tell whether the message went out;
it is tried again all the same, because a page that comes twice is better than one that does not come. Such an attempt says
so in the delivery log (`maybe_sent`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode, urlsplit, urlunsplit

import aiohttp
from pydantic import Field, SecretStr

from notifier.channels.base import Delivery, Receipt, Unreachable
from notifier.channels.http import Answer, Sender, failure
from notifier.channels.settings import Around, ServiceAddress, Table
from runtime.settings import Duration

_ARRIVED = frozenset({"delivered", "read"})
_LOST = frozenset({"undelivered", "failed", "busy", "no-answer", "canceled"})


class Account(Table):
    """Addresses are phone numbers as E.164 has them, such as +27821234567."""

    account: str = Field(pattern=r"^AC[0-9a-fA-F]{32}$", description="account SID")
    auth_token: SecretStr = Field(description="the account's auth token; it also proves what Twilio sends back")
    api: ServiceAddress = Field("https://api.twilio.com", description="another region's address")
    confirm: Duration | None = Field(
        None, description="how long proof of delivery is waited for before the fallback is used; none: it is not waited for"
    )

    @property
    def proof_s(self) -> float | None:
        return self.confirm


class Api:
    """One account."""

    def __init__(self, name: str, settings: Account, around: Around) -> None:
        self._name, self._callbacks = name, around.callbacks
        self._url = f"{settings.api}/2010-04-01/Accounts/{settings.account}"
        self._auth = aiohttp.BasicAuth(settings.account, settings.auth_token.get_secret_value(), "utf-8")
        self._sender = Sender()

    def callback(self, what: str, key: str, **query: str) -> str | None:
        """Where Twilio tells what came of a message; None where nobody would hear it."""
        if self._callbacks is None:
            return None
        asked = f"?{urlencode(query)}" if query else ""
        return f"{self._callbacks}/twilio/{self._name}/{what}/{key}{asked}"

    async def create(self, resource: str, key: str, form: Mapping[str, str]) -> Receipt:
        """Makes a message or a call. Raises Unreachable or Refused."""
        status = self.callback("status", key)
        fields = dict(form) if status is None else {**form, "StatusCallback": status}
        answer = await self._sender.post(
            f"{self._url}/{resource}.json",
            body=urlencode(fields).encode(),
            headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
            auth=self._auth,
        )
        if answer.status >= 300:
            raise failure(answer, _why(answer))
        made = answer.json()
        sid = made.get("sid")
        if not isinstance(sid, str):
            raise Unreachable("answered 201 without a sid", maybe_sent=True)
        return Receipt(sid, f"Twilio has it ({made.get('status')})")

    async def close(self) -> None:
        await self._sender.close()


def _why(answer: Answer) -> str:
    """Twilio's number of the error; its words may repeat the recipient's number."""
    try:
        code = answer.json().get("code")
    except Unreachable:
        return ""
    return f"Twilio error {code}" if isinstance(code, int) else ""


def signature(auth_token: str, url: str, params: Sequence[tuple[str, str]]) -> str:
    """X-Twilio-Signature of a request: base64 of HMAC-SHA1 over the URL and, sorted by name, names and values of the form."""
    signed = url + "".join(name + value for name, value in sorted(set(params)))
    return base64.b64encode(hmac.new(auth_token.encode(), signed.encode("utf-8", "replace"), hashlib.sha1).digest()).decode()


def is_signed(auth_token: SecretStr, url: str, params: Sequence[tuple[str, str]], given: str) -> bool:
    """Whether Twilio sent it. url: as Twilio was given it; Twilio writes the default port, or leaves it out."""
    token = auth_token.get_secret_value()
    expected = [signature(token, one, params) for one in _with_and_without_port(url)]
    return any([hmac.compare_digest(one.encode(), given.encode("utf-8", "replace")) for one in expected])


def _with_and_without_port(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    host = parts.netloc.rpartition(":")[0] if parts.port is not None else parts.netloc
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return urlunsplit(parts._replace(netloc=host)), urlunsplit(parts._replace(netloc=f"{host}:{port}"))


def told(channel: str, key: str, params: Mapping[str, str]) -> Delivery:
    """What a status callback says of a message or a call."""
    status = params.get("MessageStatus") or params.get("CallStatus") or "unknown"
    code = params.get("ErrorCode")
    detail = f"Twilio: {status}" + (f", error {code}" if code else "")
    delivered = True if status in _ARRIVED else False if status in _LOST else None
    return Delivery(key, channel, params.get("MessageSid") or params.get("CallSid") or "", delivered, detail)
