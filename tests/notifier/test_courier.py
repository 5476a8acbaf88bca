"""Couriers as timelines: what happens at which second when a channel does not work, and what is told of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from notifier.channels.base import Delivery, Receipt, Refused, Unreachable
from notifier.channels.email import Email
from notifier.channels.email import Settings as MailSettings
from notifier.channels.settings import Around, Table
from notifier.channels.sms import Settings as SmsSettings
from notifier.channels.sms import Sms
from notifier.channels.webhook import Settings as WebhookSettings
from notifier.channels.webhook import Webhook
from notifier.courier import Bucket, Courier, Outcome
from runtime.settings import Duration
from tests.support.messages import KEY, MESSAGE, Scripted, message
from tests.support.providers import ACCOUNT, AUTH_TOKEN, Twilio, running
from tests.support.sinks import Fault, MailFault, MailSink, Sink, mail_sink, sink
from tests.support.timeline import START_S, LoopClock, play

ACCEPTED = Receipt("r-1", "queued")
CONTACTS = {"sms": "+27821234567", "email": "thandi@shop.example"}


def now() -> float:
    return asyncio.get_running_loop().time()


class Proving(Table):
    """Of a channel that tells later whether it was delivered."""

    confirm: Duration | None = None

    @property
    def proof_s(self) -> float | None:
        return self.confirm


def table(**keys: Any) -> Table:
    return Proving.model_validate({"kind": "test", **keys})


OUTBOX = table(to="here")


class Largest(Random):
    """Jitter that is always the longest, so that a timeline has figures."""

    def uniform(self, a: float, b: float) -> float:
        return b


def courier(*channels: Scripted, random: Random | None = None, **tables: Table) -> Courier:
    limits = {channel.name: table() for channel in channels} | {"outbox": OUTBOX} | tables
    return Courier({channel.name: channel for channel in channels}, limits, LoopClock(), random or Largest())


def told(outcome: Outcome) -> list[str]:
    return [f"{attempt.channel} {attempt.result}" for attempt in outcome.attempts]


async def hang() -> Receipt:
    await asyncio.Event().wait()
    raise AssertionError


class TestOneChannel:
    def test_what_is_taken_is_recorded_with_the_receipt_and_a_masked_address(self) -> None:
        async def timeline() -> None:
            outcome = await courier(Scripted("sms", ACCEPTED)).deliver(MESSAGE, "sms", CONTACTS)
            assert outcome.delivered and outcome.channel == "sms" and outcome.receipt == ACCEPTED
            (attempt,) = outcome.attempts
            assert (attempt.at_ms, attempt.channel, attempt.address) == (START_S * 1000, "sms", "***567")
            assert (attempt.result, attempt.receipt, attempt.detail) == ("accepted", "r-1", "queued")

        play(timeline())

    def test_it_is_tried_again_after_waits_that_double(self) -> None:
        async def timeline() -> None:
            sms = Scripted("sms", *[Unreachable("down")] * 3, ACCEPTED, now=now)
            outcome = await courier(sms).deliver(MESSAGE, "sms", CONTACTS)
            assert sms.calls == pytest.approx([0, 1, 3, 7])
            assert told(outcome) == ["sms unreachable"] * 3 + ["sms accepted"]

        play(timeline())

    @given(seed=st.integers())
    def test_waits_are_drawn_anew_for_everyone_and_stay_within_the_budget(self, seed: int) -> None:
        async def timeline() -> None:
            sms = Scripted("sms", Unreachable("down"), now=now)
            await courier(sms, random=Random(seed), sms=table(attempts=10, budget="30s")).deliver(
                MESSAGE, "sms", CONTACTS
            )
            waits = [after - before for before, after in zip(sms.calls, sms.calls[1:], strict=False)]
            assert all(0 <= wait <= min(10, 2**number) + 1e-6 for number, wait in enumerate(waits))
            assert now() <= 30

        play(timeline())

    def test_what_is_refused_is_not_tried_again(self) -> None:
        async def timeline() -> None:
            sms = Scripted("sms", Refused("no such number"))
            outcome = await courier(sms, Scripted("outbox")).deliver(MESSAGE, "sms", CONTACTS)
            assert told(outcome) == ["sms refused", "outbox confirmed"] and outcome.channel == "outbox"

        play(timeline())

    def test_an_attempt_has_a_limit_and_the_message_may_have_been_sent(self) -> None:
        async def timeline() -> None:
            sms = Scripted("sms", hang, ACCEPTED, now=now)
            outcome = await courier(sms, sms=table(timeout="10s")).deliver(MESSAGE, "sms", CONTACTS)
            assert sms.calls == pytest.approx([0, 11])
            assert told(outcome) == ["sms unreachable", "sms accepted"]
            assert outcome.attempts[0].took_ms == 10_000 and outcome.maybe_sent

        play(timeline())

    def test_all_attempts_together_have_a_limit(self) -> None:
        async def timeline() -> None:
            sms = Scripted("sms", hang, now=now)
            outcome = await courier(sms, Scripted("outbox"), sms=table(timeout="12s", budget="20s")).deliver(
                MESSAGE, "sms", CONTACTS
            )
            assert sms.calls == pytest.approx([0, 13]) and now() == pytest.approx(20)
            assert told(outcome) == ["sms unreachable", "sms unreachable", "outbox confirmed"]

        play(timeline())

    def test_retry_after_is_kept_to_by_all_messages(self) -> None:
        async def timeline() -> None:
            sms = Scripted("sms", Unreachable("slow down", retry_after_s=7), ACCEPTED, now=now)
            carrier = courier(sms)
            await asyncio.gather(
                carrier.deliver(MESSAGE, "sms", CONTACTS), carrier.deliver(message(key="6f" * 32), "sms", CONTACTS)
            )
            assert sms.calls[0] == 0 and sorted(sms.calls)[-1] >= 7
            late = await carrier.deliver(message(key="7a" * 32), "sms", CONTACTS)
            assert late.delivered and carrier.health()["sms"].failures == 0

        play(timeline())

    def test_a_retry_after_beyond_the_budget_goes_to_the_fallback_at_once(self) -> None:
        async def timeline() -> None:
            sms = Scripted("sms", Unreachable("slow down", retry_after_s=120), now=now)
            carrier = courier(sms, Scripted("outbox"))
            outcome = await carrier.deliver(MESSAGE, "sms", CONTACTS)
            assert now() == 0 and told(outcome) == ["sms unreachable", "outbox confirmed"]
            second = await carrier.deliver(message(key="6f" * 32), "sms", CONTACTS)
            assert now() == 0 and told(second) == ["sms limited", "outbox confirmed"] and len(sms.calls) == 1

        play(timeline())

    def test_a_retry_after_of_years_does_not_close_the_channel_for_years(self) -> None:
        async def timeline() -> None:
            sms = Scripted("sms", Unreachable("slow down", retry_after_s=1e9), ACCEPTED, now=now)
            carrier = courier(sms, Scripted("outbox"))
            await carrier.deliver(MESSAGE, "sms", CONTACTS)
            await _until(301)
            assert told(await carrier.deliver(MESSAGE, "sms", CONTACTS)) == ["sms accepted"]

        play(timeline())

    def test_a_fault_of_the_channel_itself_is_a_failure_like_another(self, caplog: pytest.LogCaptureFixture) -> None:
        async def timeline() -> None:
            sms = Scripted("sms", KeyError("sid"), ACCEPTED)
            outcome = await courier(sms).deliver(MESSAGE, "sms", CONTACTS)
            assert told(outcome) == ["sms unreachable", "sms accepted"] and outcome.attempts[0].maybe_sent

        play(timeline())
        assert "KeyError" in caplog.text

    def test_it_can_be_stopped(self) -> None:
        async def timeline() -> None:
            carrier = courier(Scripted("sms", hang))
            under_way = asyncio.create_task(carrier.deliver(MESSAGE, "sms", CONTACTS))
            await asyncio.sleep(0)
            under_way.cancel()
            with pytest.raises(asyncio.CancelledError):
                await under_way

        play(timeline())


class TestRate:
    def test_a_burst_goes_at_once_and_the_rest_in_turn(self) -> None:
        async def timeline() -> None:
            sms = Scripted("sms", ACCEPTED, now=now)
            carrier = courier(sms, sms=table(rate=2, burst=3))
            await asyncio.gather(*(carrier.deliver(message(key=f"{n:064x}"), "sms", CONTACTS) for n in range(6)))
            assert sms.calls == pytest.approx([0, 0, 0, 0.5, 1, 1.5])

        play(timeline())

    def test_who_would_wait_longer_than_the_budget_takes_the_fallback_now(self) -> None:
        async def timeline() -> None:
            outbox = Scripted("outbox", now=now)
            carrier = courier(Scripted("sms", ACCEPTED), outbox, sms=table(rate=0.1, burst=1, budget="15s"))
            outcomes = await asyncio.gather(
                *(carrier.deliver(message(key=f"{n:064x}"), "sms", CONTACTS) for n in range(3))
            )
            assert [told(outcome)[-1] for outcome in outcomes] == ["sms accepted", "sms accepted", "outbox confirmed"]
            assert outbox.calls == [0]

        play(timeline())

    @given(
        rate=st.floats(0.1, 50),
        burst=st.integers(1, 20),
        gaps=st.lists(st.floats(0, 5), min_size=1, max_size=60),
    )
    def test_no_stretch_of_time_has_more_than_burst_and_rate_allow(
        self, rate: float, burst: int, gaps: list[float]
    ) -> None:
        bucket, at, turns = Bucket(rate, burst, 0.0), 0.0, list[float]()
        for gap in gaps:
            at += gap
            wait = bucket.take(at, patience_s=1e9)
            assert wait is not None
            turns.append(at + wait)
        for first, start in enumerate(turns):
            for last in range(first, len(turns)):
                assert last - first + 1 <= burst + (turns[last] - start) * rate + 1 + 1e-6


class TestBreaker:
    def test_a_channel_that_only_fails_is_left_alone_and_tried_once_after_a_rest(self) -> None:
        async def timeline() -> None:
            async def down() -> Receipt:
                await _until(now() + 1)
                raise Unreachable("down")

            sms, outbox = Scripted("sms", *[down] * 4, ACCEPTED, now=now), Scripted("outbox")
            carrier = courier(
                sms, outbox, sms=table(attempts=1, breaker_after=3, breaker_for="30s", rate=100, burst=100)
            )

            async def page(n: int) -> list[str]:
                return told(await carrier.deliver(message(key=f"{n:064x}"), "sms", CONTACTS))

            for n in range(3):
                assert await page(n) == ["sms unreachable", "outbox confirmed"]
            assert carrier.health()["sms"].resting_s == 30
            assert await page(3) == ["sms resting", "outbox confirmed"]
            await _until(33)
            both = await asyncio.gather(page(4), page(5))
            assert sorted(both) == [["sms resting", "outbox confirmed"], ["sms unreachable", "outbox confirmed"]]
            assert await page(6) == ["sms resting", "outbox confirmed"]
            await _until(64)
            assert await page(7) == ["sms accepted"]
            assert await page(8) == ["sms accepted"] and carrier.health()["sms"].failures == 0
            assert len(sms.calls) == 6

        play(timeline())

    def test_a_probe_that_is_stopped_leaves_room_for_the_next(self) -> None:
        async def timeline() -> None:
            sms = Scripted("sms", Unreachable("down"), hang, ACCEPTED)
            carrier = courier(sms, sms=table(attempts=1, breaker_after=1, breaker_for="5s", fallback=None))
            await carrier.deliver(MESSAGE, "sms", CONTACTS)
            await _until(6)
            probe = asyncio.create_task(carrier.deliver(MESSAGE, "sms", CONTACTS))
            await _until(7)
            probe.cancel()
            await asyncio.gather(probe, return_exceptions=True)
            assert told(await carrier.deliver(MESSAGE, "sms", CONTACTS)) == ["sms accepted"]

        play(timeline())


async def _until(at: float) -> None:
    """Until the loop's clock says so."""
    reached = asyncio.Event()
    asyncio.get_running_loop().call_at(at, reached.set)
    await reached.wait()


class TestFallback:
    def test_one_channel_after_the_other(self) -> None:
        async def timeline() -> None:
            down = Unreachable("down")
            email = Scripted("email", ACCEPTED)
            outcome = await courier(
                Scripted("phone", down),
                Scripted("sms", down),
                email,
                phone=table(attempts=1, fallback="sms"),
                sms=table(attempts=1, fallback="email"),
            ).deliver(MESSAGE, "phone", {"phone": "+27821234567", **CONTACTS})
            assert told(outcome) == ["phone unreachable", "sms unreachable", "email accepted"]
            assert email.addresses == ["thandi@shop.example"] and outcome.channel == "email"

        play(timeline())

    def test_a_ring_of_fallbacks_ends(self, caplog: pytest.LogCaptureFixture) -> None:
        async def timeline() -> None:
            down = Unreachable("down")
            outcome = await courier(
                Scripted("phone", down),
                Scripted("sms", down),
                phone=table(attempts=1, fallback="sms"),
                sms=table(attempts=1, fallback="phone"),
            ).deliver(MESSAGE, "sms", {"phone": "+27821234567", **CONTACTS})
            assert told(outcome) == ["sms unreachable", "phone unreachable"] and not outcome.delivered

        play(timeline())
        assert "reached nobody" in caplog.text and "4567" not in caplog.text

    def test_a_thread_belongs_to_its_channel(self) -> None:
        async def timeline() -> None:
            threaded = Receipt("r-1", "posted", "C0TEST:1", confirmed=True)
            slack, outbox = Scripted("slack", threaded, Unreachable("down")), Scripted("outbox", threaded)
            carrier = courier(slack, outbox, slack=table(to="C0TEST", attempts=1))
            first = await carrier.deliver(MESSAGE, "slack", {})
            assert first.receipt is not None and first.receipt.thread == "C0TEST:1"
            second = await carrier.deliver(message(thread="C0TEST:1"), "slack", {})
            assert second.receipt is not None and second.receipt.thread is None
            assert slack.threads == [None, "C0TEST:1"] and outbox.threads == [None]

        play(timeline())

    @pytest.mark.parametrize(
        ("channel", "expected"),
        [("pigeon", ["pigeon no_channel", "outbox confirmed"]), ("fax", ["fax no_address", "outbox confirmed"])],
    )
    def test_no_channel_and_no_address_are_told(self, channel: str, expected: list[str]) -> None:
        async def timeline() -> None:
            outcome = await courier(Scripted("fax"), Scripted("outbox")).deliver(MESSAGE, channel, CONTACTS)
            assert told(outcome) == expected

        play(timeline())

    def test_the_tables_own_address_is_used_where_the_recipient_has_none(self) -> None:
        async def timeline() -> None:
            slack = Scripted("slack")
            await courier(slack, slack=table(to="C0TEST")).deliver(MESSAGE, "slack", CONTACTS)
            assert slack.addresses == ["C0TEST"]

        play(timeline())


class TestProof:
    """`confirm`: a provider that accepts and never confirms is a failure like another."""

    def test_proof_that_comes_in_time_is_enough(self) -> None:
        async def timeline() -> None:
            carrier = courier(Scripted("sms", ACCEPTED), Scripted("outbox"), sms=table(confirm="20s"))
            asyncio.get_running_loop().call_at(1, carrier.heard, Delivery(KEY, "sms", "r-1", None, "sent"))
            asyncio.get_running_loop().call_at(5, carrier.heard, Delivery(KEY, "sms", "r-1", True, "delivered"))
            outcome = await carrier.deliver(MESSAGE, "sms", CONTACTS)
            assert now() == pytest.approx(5) and told(outcome) == ["sms confirmed"]
            assert outcome.receipt is not None and outcome.receipt.confirmed

        play(timeline())

    def test_an_answer_is_proof(self) -> None:
        async def timeline() -> None:
            carrier = courier(Scripted("phone", ACCEPTED), phone=table(confirm="90s"))
            asyncio.get_running_loop().call_at(30, carrier.answered, "6f" * 32)
            asyncio.get_running_loop().call_at(40, carrier.answered, KEY)
            outcome = await carrier.deliver(MESSAGE, "phone", {"phone": "+27821234567"})
            assert now() == pytest.approx(40) and told(outcome) == ["phone confirmed"]

        play(timeline())

    def test_proof_that_comes_before_the_answer_counts(self) -> None:
        async def timeline() -> None:
            async def slow() -> Receipt:
                carrier.heard(Delivery(KEY, "sms", "r-1", True, "delivered"))
                return ACCEPTED

            carrier = courier(Scripted("sms", slow), sms=table(confirm="20s"))
            assert told(await carrier.deliver(MESSAGE, "sms", CONTACTS)) == ["sms confirmed"] and now() == 0

        play(timeline())

    def test_what_the_provider_could_not_deliver_goes_to_the_fallback(self) -> None:
        async def timeline() -> None:
            carrier = courier(Scripted("sms", ACCEPTED), Scripted("outbox"), sms=table(confirm="20s"))
            asyncio.get_running_loop().call_at(3, carrier.heard, Delivery(KEY, "sms", "r-1", False, "no route"))
            outcome = await carrier.deliver(MESSAGE, "sms", CONTACTS)
            assert now() == pytest.approx(3) and told(outcome) == ["sms undelivered", "outbox confirmed"]

        play(timeline())

    def test_who_accepts_and_never_confirms_goes_to_the_fallback(self) -> None:
        async def timeline() -> None:
            sms = Scripted("sms", ACCEPTED)
            carrier = courier(sms, Scripted("outbox"), sms=table(confirm="20s"))
            outcome = await carrier.deliver(MESSAGE, "sms", CONTACTS)
            assert now() == pytest.approx(20) and told(outcome) == ["sms unconfirmed", "outbox confirmed"]
            assert len(sms.calls) == 1, "it has the message: once more would be twice"
            assert outcome.maybe_sent and carrier.health()["sms"].last_failure == outcome.attempts[0]

        play(timeline())


# --- services that do not work ----------------------------------------------------------------------------------------

SECRET = SecretStr("whsec_" + "bm90IGEgc2VjcmV0LCBhIHRlc3Qgb2Ygb25l")


def with_sink(
    timeline: Callable[[Sink, Courier, Scripted], Awaitable[None]], *faults: Fault, **keys: Any
) -> Coroutine[Any, Any, None]:
    async def run() -> None:
        settings = WebhookSettings.model_validate(
            {"kind": "webhook", "secret": SECRET, "allow": ["127.0.0.0/8"], "fallback": "outbox", **keys}
        )
        async with sink(*faults) as it:
            outbox = Scripted("outbox", now=now)
            webhook = Webhook("webhook", settings, Around(clock=LoopClock()))
            carrier = Courier(
                {"webhook": webhook, "outbox": outbox}, {"webhook": settings, "outbox": OUTBOX}, LoopClock(), Largest()
            )
            await timeline(it, carrier, outbox)
            await carrier.close()

    return run()


class TestBrokenService:
    """The channel over real HTTP against a service of each broken kind: what is tried when, that the fallback is used, and
    that the failure can be seen."""

    @pytest.mark.parametrize(
        ("fault", "requests", "detail", "fallback_at"),
        [
            ("hangs", [0, 6, 13], "no answer within 5 s", 18),
            ("slow body", [0, 6, 13], "no answer within 5 s", 18),
            ("refuses", [], "no connection to 127.0.0.1", 3),
            ("500", [0, 1, 3], "answered 500", 3),
            ("garbage", [0, 1, 3], "broke off or answered garbage", 3),
            ("nothing", [0, 1, 3], "broke off or answered garbage", 3),
            ("429", [0, 7, 14], "answered 429", 14),
        ],
    )
    def test_is_tried_three_times_and_then_the_fallback_is_used(
        self,
        fault: Fault,
        requests: list[float],
        detail: str,
        fallback_at: float,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        async def timeline(it: Sink, carrier: Courier, outbox: Scripted) -> None:
            outcome = await carrier.deliver(MESSAGE, "webhook", {"webhook": it.url})
            assert [at for at, _ in it.requests] == pytest.approx(requests, abs=0.5)
            assert told(outcome) == ["webhook unreachable"] * 3 + ["outbox confirmed"]
            assert all(detail in attempt.detail for attempt in outcome.attempts[:3])
            assert outbox.calls == pytest.approx([fallback_at], abs=0.5)
            last = carrier.health()["webhook"].last_failure
            assert last is not None and detail in last.detail and last.address == "http://127.0.0.1/***"

        with caplog.at_level(logging.WARNING):
            play(with_sink(timeline, fault, timeout="5s", attempts=3))
        assert caplog.text.count("through webhook") == 3 and "/hook" not in caplog.text

    def test_redirects_are_not_followed(self) -> None:
        async def timeline(it: Sink, carrier: Courier, outbox: Scripted) -> None:
            outcome = await carrier.deliver(MESSAGE, "webhook", {"webhook": it.url})
            assert told(outcome) == ["webhook refused", "outbox confirmed"] and len(it.requests) == 1
            assert "redirects are not followed" in outcome.attempts[0].detail

        play(with_sink(timeline, "302"))

    def test_who_comes_back_gets_it(self) -> None:
        async def timeline(it: Sink, carrier: Courier, outbox: Scripted) -> None:
            outcome = await carrier.deliver(MESSAGE, "webhook", {"webhook": it.url})
            assert told(outcome) == ["webhook unreachable", "webhook unreachable", "webhook confirmed"]
            assert outbox.calls == []

        play(with_sink(timeline, "500", "garbage", "200"))


class TestBrokenMailServer:
    """The same over real SMTP."""

    @staticmethod
    def play(timeline: Callable[[MailSink, Courier, Scripted], Awaitable[None]], *faults: MailFault) -> None:
        async def run() -> None:
            async with mail_sink(*faults) as it:
                settings = MailSettings.model_validate(
                    {
                        **{
                            "kind": "email",
                            "host": "127.0.0.1",
                            "port": it.port,
                            "tls": "none",
                            "sender": "tw@shop.example",
                        },
                        **{"timeout": "5s", "attempts": 3, "fallback": "outbox"},
                    }
                )
                outbox = Scripted("outbox", now=now)
                mail = Email("email", settings, Around(clock=LoopClock()))
                tables = {"email": settings, "outbox": OUTBOX}
                await timeline(it, Courier({"email": mail, "outbox": outbox}, tables, LoopClock(), Largest()), outbox)

        play(run())

    @pytest.mark.parametrize(
        ("fault", "requests", "detail", "maybe_sent", "fallback_at"),
        [
            ("hangs", [0, 6, 13], "no answer within 5 s", True, 18),
            ("refuses", [], "no connection to the mail server", False, 3),
            ("421", [0, 1, 3], "answered 421", False, 3),
            ("451", [0, 1, 3], "answered 451", False, 3),
            ("garbage", [0, 1, 3], "broke off or answered garbage", False, 3),
            ("nothing", [0, 1, 3], "no connection to the mail server", False, 3),
            ("never confirms", [0, 6, 13], "no answer within 5 s", True, 18),
        ],
    )
    def test_is_tried_three_times_and_then_the_fallback_is_used(
        self,
        fault: MailFault,
        requests: list[float],
        detail: str,
        maybe_sent: bool,
        fallback_at: float,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        async def timeline(it: MailSink, carrier: Courier, outbox: Scripted) -> None:
            outcome = await carrier.deliver(MESSAGE, "email", CONTACTS)
            assert it.requests == pytest.approx(requests, abs=0.5)
            assert told(outcome) == ["email unreachable"] * 3 + ["outbox confirmed"]
            assert all(detail in attempt.detail for attempt in outcome.attempts[:3])
            assert outcome.maybe_sent == maybe_sent and it.taken == (3 if fault == "never confirms" else 0)
            assert outbox.calls == pytest.approx([fallback_at], abs=0.5)
            last = carrier.health()["email"].last_failure
            assert last is not None and detail in last.detail and last.address == "t***@shop.example"

        with caplog.at_level(logging.WARNING):
            self.play(timeline, fault)
        assert caplog.text.count("through email") == 3 and CONTACTS["email"] not in caplog.text

    def test_what_it_will_never_take_goes_to_the_fallback_at_once(self) -> None:
        async def timeline(it: MailSink, carrier: Courier, outbox: Scripted) -> None:
            outcome = await carrier.deliver(MESSAGE, "email", CONTACTS)
            assert told(outcome) == ["email refused", "outbox confirmed"] and len(it.requests) == 1
            assert outcome.attempts[0].detail == "the mail server answered 554" and now() < 0.5

        self.play(timeline, "554")


class TestProviderThatNeverConfirms:
    """Twilio takes a text message, and tells later what came of it, or never does."""

    @staticmethod
    def play(later: bool | None, expected: list[str], at: float) -> None:
        """later: what Twilio tells after 4 s; None: nothing."""

        async def run() -> None:
            service = Twilio()
            async with running(service):
                settings = SmsSettings.model_validate(
                    {
                        **{
                            "kind": "twilio-sms",
                            "account": ACCOUNT,
                            "auth_token": AUTH_TOKEN,
                            "sender": "+12025550100",
                        },
                        **{"api": service.url, "confirm": "20s", "fallback": "outbox"},
                    }
                )
                channel = Sms("sms", settings, Around(callbacks="https://pages.example", clock=LoopClock()))
                outbox = Scripted("outbox", now=now)
                tables = {"sms": settings, "outbox": OUTBOX}
                carrier = Courier({"sms": channel, "outbox": outbox}, tables, LoopClock(), Largest())
                if later is not None:
                    heard = Delivery(KEY, "sms", f"SM{1:032x}", later, "Twilio says so")
                    asyncio.get_running_loop().call_later(4, carrier.heard, heard)
                outcome = await carrier.deliver(MESSAGE, "sms", CONTACTS)
                assert told(outcome) == expected and now() == pytest.approx(at, abs=0.5)
                assert len(service.taken) == 1, "it has the message: once more would be twice"
                assert outcome.attempts[0].receipt == f"SM{1:032x}"
                await carrier.close()

        play(run())

    def test_the_fallback_is_used_when_no_proof_came_in_time(self) -> None:
        self.play(None, ["sms unconfirmed", "outbox confirmed"], 20)

    def test_the_fallback_is_used_at_once_where_it_will_not_get_there(self) -> None:
        self.play(False, ["sms undelivered", "outbox confirmed"], 4)

    def test_proof_is_enough(self) -> None:
        self.play(True, ["sms confirmed"], 4)
