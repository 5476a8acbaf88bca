"""The events that services publish: CloudEvents 1.0 with data of one of these models.

A type belongs to one subject (one topic) and feeds the tables that its model names. Types are strict: no text for a
number, no float or bool for an integer, no null.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from schemas.annotations import (
    Amount,
    Currency,
    Dimension,
    Duration,
    Flag,
    Kind,
    Measure,
    Moment,
    Percent,
    Score,
    Text,
)

CHOICE = Kind("choice")

Fault = Annotated[Literal["business", "technical", "fraud", "merchant", "unknown"], CHOICE]
Status = Annotated[Literal["up", "down"], CHOICE]
CallOutcome = Annotated[Literal["ok", "error", "connection_failed"], CHOICE]
ReconciliationOutcome = Annotated[Literal["match", "missing", "amount_differs", "duplicate"], CHOICE]
Resource = Annotated[Literal["cpu", "memory", "disk", "network"], CHOICE]
Category = Annotated[Literal["application", "payment", "webhook", "configuration", "security"], CHOICE]

# An optional field is absent, never null: its type says so, and None only stands for it in memory.
OPTIONAL: Any = Field(default=None)


class Strict(BaseModel):
    """Refuses null; ignores (and lets the decoder count) what it does not know."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class Data(Strict):
    """The data of an event. `tables`: which tables the event is folded into."""

    tables: ClassVar[tuple[str, ...]] = ()


class Payment(Data):
    tables = ("payments", "payment_cohorts", "merchants")

    transaction_id: Text
    provider: Annotated[Text, Dimension()]
    method: Annotated[Text, Dimension()]
    merchant: Annotated[Text, Dimension()]
    amount: Annotated[Amount, Measure()] = Field(description="minor units of the currency")
    currency: Annotated[Currency, Dimension()]


class FinishedPayment(Payment):
    latency_ms: Annotated[Duration, Measure(sketch=True)] = OPTIONAL
    initiated_at: Moment = OPTIONAL


class FailedPayment(FinishedPayment):
    fault: Annotated[Fault, Dimension()]
    reason: Annotated[Text, Dimension()]


class Reconciliation(Data):
    tables = ("reconciliations",)

    provider: Annotated[Text, Dimension()]
    transaction_id: Text
    outcome: Annotated[ReconciliationOutcome, Dimension()]
    amount: Annotated[Amount, Measure()] = OPTIONAL
    currency: Annotated[Currency, Dimension()] = OPTIONAL


class Enrollment(Data):
    tables = ("enrollments",)

    enrollment_id: Text
    course: Annotated[Text, Dimension()]
    transaction_id: Text = OPTIONAL
    processing_ms: Annotated[Duration, Measure(sketch=True)] = OPTIONAL


class Webhook(Data):
    tables = ("webhooks",)

    webhook_id: Text
    provider: Annotated[Text, Dimension()]
    reason: Annotated[Text, Dimension()] = OPTIONAL
    lag_ms: Annotated[Duration, Measure(sketch=True)] = OPTIONAL


class HealthCheck(Data):
    tables = ("health",)

    component: Annotated[Text, Dimension()]
    instance: Annotated[Text, Dimension()]
    place: Annotated[Text, Dimension()] = OPTIONAL
    status: Annotated[Status, Dimension()]
    response_ms: Annotated[Duration, Measure(sketch=True)] = OPTIONAL


class Call(Data):
    component: Annotated[Text, Dimension()]
    target: Annotated[Text, Dimension()] = Field(description="the route, the remote or the database")
    outcome: Annotated[CallOutcome, Dimension()]
    latency_ms: Annotated[Duration, Measure(sketch=True)]


class Request(Call):
    tables = ("requests",)


class ExternalCall(Call):
    tables = ("calls",)


class Query(Call):
    tables = ("queries",)


class ResourceSample(Data):
    tables = ("resources",)

    host: Annotated[Text, Dimension()]
    resource: Annotated[Resource, Dimension()]
    value: Annotated[Percent, Measure()]
    interval_s: Annotated[Duration, Measure()]


class Session(Data):
    tables = ("experience",)

    component: Annotated[Text, Dimension()]
    session_id: Text
    duration_ms: Annotated[Duration, Measure(sketch=True)] = OPTIONAL


class FeatureCheck(Data):
    tables = ("experience",)

    component: Annotated[Text, Dimension()]
    feature: Annotated[Text, Dimension()]
    available: Annotated[Flag, Dimension()]


class Feedback(Data):
    tables = ("experience",)

    component: Annotated[Text, Dimension()]
    score: Annotated[Score, Dimension()]


class Error(Data):
    tables = ("errors",)

    error_id: Text
    category: Annotated[Category, Dimension()]
    component: Annotated[Text, Dimension()]
    critical: Annotated[Flag, Dimension()]
    message: Text = OPTIONAL


class Security(Data):
    tables = ("security", "actors")

    actor: Annotated[Text, Dimension()]
    component: Annotated[Text, Dimension()]
    reason: Annotated[Text, Dimension()] = OPTIONAL


class PolicyCheck(Data):
    tables = ("security",)

    component: Annotated[Text, Dimension()]
    policy: Annotated[Text, Dimension()]
    passed: Annotated[Flag, Dimension()]


class Change(Data):
    tables = ("changes",)

    component: Annotated[Text, Dimension()]
    version: Annotated[Text, Dimension()] = OPTIONAL
    author: Text = OPTIONAL
    note: Text = OPTIONAL


class Alive(Data):
    tables = ("pipeline",)

    sent: Annotated[Amount, Measure()] = Field(description="how many events the source has sent since it started")
    started_at: Moment


class Heartbeat(Data):
    """Ours, into every partition: moves the watermark of an idle one, and is folded nowhere."""


EVERYWHERE = "*"
"""The subject of types that are allowed on every event topic."""

_BY_SUBJECT: dict[str, dict[type[Data], str]] = {
    "payments": {
        Payment: "payment.initiated payment.redirected",
        FinishedPayment: "payment.succeeded payment.refunded",
        FailedPayment: "payment.failed",
        Reconciliation: "reconciliation.checked",
    },
    "enrollments": {Enrollment: "enrollment.created enrollment.approved enrollment.access_granted"},
    "webhooks": {Webhook: "webhook.received webhook.processed webhook.failed webhook.rejected webhook.duplicate"},
    "health": {HealthCheck: "health.checked"},
    "platform": {
        Request: "request.served",
        ExternalCall: "call.made",
        Query: "query.run",
        ResourceSample: "resource.sampled",
        Session: "session.started session.ended",
        FeatureCheck: "feature.checked",
        Feedback: "feedback.given",
    },
    "errors": {Error: "error.raised error.resolved"},
    "security": {
        Security: "auth.failed authz.violated api.suspicious data_access.flagged request.blocked security.violated "
        "security.incident",
        PolicyCheck: "policy.checked",
    },
    "changes": {Change: "deploy.released config.changed flag.flipped maintenance.started maintenance.ended"},
    EVERYWHERE: {Alive: "source.alive", Heartbeat: "pipeline.heartbeat"},
}

SUBJECT_OF: dict[str, str] = {
    event_type: subject
    for subject, models in _BY_SUBJECT.items()
    for types in models.values()
    for event_type in types.split()
}
"""The subject of each event type."""
DATA_OF: dict[str, type[Data]] = {
    event_type: model
    for models in _BY_SUBJECT.values()
    for model, types in models.items()
    for event_type in types.split()
}
"""The model of each event type's data."""

CORE = frozenset({"specversion", "id", "source", "type", "time", "subject", "datacontenttype", "dataschema", "data"})
"""The attributes of CloudEvents 1.0 and `data`; every other is an extension."""


class Envelope(Strict):
    """A CloudEvent around the data."""

    specversion: Literal["1.0"]
    id: Text
    source: Text
    type: Text
    time: Moment
    subject: Text = OPTIONAL
    datacontenttype: Text = OPTIONAL
    dataschema: Text = OPTIONAL


def event_model(event_type: str) -> type[Envelope]:
    """The model of a whole event of this type."""
    return _MODELS[event_type]


def _model(event_type: str) -> type[Envelope]:
    name = "".join(part.title() for part in event_type.replace("_", ".").split("."))
    fields: dict[str, Any] = {"type": (Literal[event_type], ...), "data": (DATA_OF[event_type], ...)}
    return create_model(name, __base__=Envelope, __doc__=f"The event {event_type}.", **fields)


_MODELS = {event_type: _model(event_type) for event_type in DATA_OF}
