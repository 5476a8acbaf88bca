"""The side of whoever is paged: a real mail server and a real HTTP server that note what comes, when, and with which key."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from pathlib import Path
from typing import NamedTuple

from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.support.wait import pause

SENDER = "tillwatch@shop.example"
KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
_KINDS = {"Update": "update", "Resolved": "resolved"}
_MESSAGE_ID = re.compile(r"<([0-9a-f]{64})@shop\.example>")
_SUBJECT = re.compile(r"(?:Re: )?P[0-3] #[0-9]+: (.*)")


class What(NamedTuple):
    """What a message says, to whom, and by which way."""

    recipient: str
    way: str
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Arrived:
    """One message. at: epoch seconds; key: the idempotency key as the protocol carries it."""

    at: float
    key: str
    what: What


class Recipients:
    """arrived: every message that was taken, in order; refused: what no receiver would have taken, in words. lingers:
    seconds after which an answer is given, so that there is a time between sending and recording."""

    def __init__(self, lingers: Callable[[], float] = lambda: 0.0) -> None:
        self.arrived: list[Arrived] = []
        self.refused: list[str] = []
        self.mail_port = self.web_port = 0
        self._lingers = lingers

    @property
    def keys(self) -> dict[What, set[str]]:
        """The different keys under which each thing was said; more than one is a message that came twice."""
        found: dict[What, set[str]] = {}
        for one in self.arrived:
            found.setdefault(one.what, set()).add(one.key)
        return found

    @property
    def repeats(self) -> list[tuple[Arrived, Arrived]]:
        """What came again with the key that it had: (the time before, again)."""
        found, last = [], dict[tuple[str, str], Arrived]()
        for one in self.arrived:
            before = last.get((one.what.way, one.key))
            if before is not None:
                found.append((before, one))
            last[one.what.way, one.key] = one
        return found

    def told(self) -> Counter[What]:
        """How often each thing was said, repeats of a key left out."""
        return Counter({what: len(keys) for what, keys in self.keys.items()})

    # --- mail -----------------------------------------------------------------------------------------------------------

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        key, subject = _MESSAGE_ID.fullmatch(str(mail["Message-ID"])), _SUBJECT.fullmatch(str(mail["Subject"]).strip())
        if key is None or subject is None:
            self.refused.append(f"mail {mail['Message-ID']} {mail['Subject']}")
            return "550 no such message is expected"
        body = mail.get_body(("plain",))
        assert body is not None
        kind = _KINDS.get(str(body.get_content()).partition(":")[0], "page")
        for address in envelope.rcpt_tos:
            what = What(address.partition("@")[0], "email", kind, subject[1])
            self.arrived.append(Arrived(time.time(), key[1], what))
        await pause(self._lingers())
        return "250 taken"

    # --- webhooks -------------------------------------------------------------------------------------------------------

    async def hook(self, request: web.Request) -> web.Response:
        at, body = time.time(), await request.read()
        key, stamp = request.headers.get("webhook-id", ""), request.headers.get("webhook-timestamp", "")
        wanted = hmac.new(KEY, f"{key}.{stamp}.".encode() + body, hashlib.sha256).digest()
        if request.headers.get("webhook-signature") != "v1," + base64.b64encode(wanted).decode():
            self.refused.append(f"webhook {key}: its signature is wrong")
            return web.Response(status=401)
        data = json.loads(body)["data"]
        self.arrived.append(Arrived(at, key, What(request.match_info["name"], "webhook", data["kind"], data["title"])))
        await pause(self._lingers())
        return web.Response(status=204)


@asynccontextmanager
async def recipients(lingers: Callable[[], float] = lambda: 0.0) -> AsyncIterator[Recipients]:
    """Both servers, listening on this machine."""
    they = Recipients(lingers)
    app = web.Application()
    app.add_routes([web.post("/hooks/{name}", they.hook)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    mail = await asyncio.get_running_loop().create_server(lambda: SMTP(they, hostname="localhost"), "127.0.0.1", 0)
    they.web_port, they.mail_port = runner.addresses[0][1], mail.sockets[0].getsockname()[1]
    try:
        yield they
    finally:
        mail.close()
        await runner.cleanup()


def directory(folder: Path, they: Recipients, levels: Mapping[str, Sequence[str]], rate: int | None = 1_000) -> Path:
    """A `teams.toml` in this folder, with one team whose people have mail and a webhook with these recipients. rate: messages a
    second that a channel may send, and at once; None: what it may unless told otherwise."""
    people = [
        f"[people.{name}]\nname = {json.dumps(name.title())}\n"
        f'contacts = {{email = "{name}@shop.example", webhook = "http://127.0.0.1:{they.web_port}/hooks/{name}"}}\n'
        for name in dict.fromkeys(name for some in levels.values() for name in some)
    ]
    rotas = "".join(f"{level} = {json.dumps(list(who))}\n" for level, who in levels.items())
    team = f'[teams.everyone]\nname = "Everyone"\ndefault = true\n{rotas}'
    limits = "" if rate is None else f"rate = {rate}\nburst = {rate}\n"
    mail = f'[channels.email]\nhost = "127.0.0.1"\nport = {they.mail_port}\ntls = "none"\nsender = "{SENDER}"\n{limits}'
    hook = f'[channels.webhook]\nsecret_file = "secret"\nallow = ["127.0.0.0/8"]\n{limits}'
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "secret").write_text(SECRET)
    path = folder / "teams.toml"
    path.write_text("\n".join((*people, team, mail, hook)))
    return path
