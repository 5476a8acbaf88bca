"""From the bytes of a record to an event, or to the reason why it cannot be one.

Nearly every event takes the fast way: one pass of msgspec over structs that are made from the pydantic models, after a
few searches through the bytes that rule out what the structs do not check (escapes, control characters, null, a card
number). What fails or looks odd takes the slow way, in which the pydantic models are the judge.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Protocol, Union

import msgspec
from pydantic import ValidationError

from schemas.annotations import LARGEST, LONGEST, Identifier, Kind
from schemas.events import CORE, DATA_OF, EVERYWHERE, SUBJECT_OF, Data, Envelope, event_model
from schemas.masking import Masker, may_hold_card
from schemas.tables import fields_of, mark
from schemas.time import epoch_ms

MAX_BYTES = 1024 * 1024
_DETAIL_CHARS = 500
_CONTROL_BYTES = re.compile(b"\x7f|\xc2[\x80-\x9f]")
_CLOUD_EVENT = b"application/cloudevents"


class Event(Protocol):
    """A decoded event; `data` has the fields of the type's model, None where an optional one is absent."""

    TYPE: ClassVar[str]
    id: str
    source: str
    time: str
    data: Any


class Refused(ValueError):
    """A record that is no event that counts. `reason` is one of the contract's; `detail` says where and what."""

    def __init__(self, reason: str, detail: str, source: str | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail, self.source = reason, detail[:_DETAIL_CHARS], source


@dataclass(frozen=True, slots=True)
class Notes:
    """What is worth counting about an event that was accepted."""

    extension: bool = False
    unknown_field: bool = False
    card: bool = False


# --- structs made from the models -----------------------------------------------------------------------------------

_TEXT = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST)]


def _fast_type(kind: Kind) -> Any:
    if kind.name == "text":
        return _TEXT
    if kind.name == "moment":
        return Annotated[str, msgspec.Meta(max_length=64)]
    if kind.name == "amount":
        return Annotated[int, msgspec.Meta(ge=kind.low, le=kind.high)]
    if kind.name == "duration":
        return Annotated[float, msgspec.Meta(ge=kind.low, le=kind.high)]
    if kind.name == "bool":
        return bool
    return Literal[kind.choices]


def _data_struct(model: type[Data]) -> type[msgspec.Struct]:
    required, optional = [], []
    for name, info in fields_of(model).items():
        fast = _fast_type(mark(info, Kind))
        if info.is_required():
            required.append((name, fast))
        else:
            optional.append((name, fast | None, None))
    return msgspec.defstruct(f"{model.__name__}Data", [*required, *optional], forbid_unknown_fields=True, gc=False)


def _event_struct(event_type: str, data: type[msgspec.Struct]) -> type[msgspec.Struct]:
    return msgspec.defstruct(
        f"Event_{event_type}",
        [
            ("specversion", Literal["1.0"]),
            ("id", _TEXT),
            ("source", _TEXT),
            ("time", str),
            ("data", data),
            ("subject", _TEXT | None, None),
            ("datacontenttype", _TEXT | None, None),
            ("dataschema", _TEXT | None, None),
        ],
        tag_field="type",
        tag=event_type,
        forbid_unknown_fields=True,
        gc=False,
        namespace={"TYPE": event_type, "VERB": event_type.partition(".")[2], "NONE": None},
    )


_DATA_STRUCTS = {model: _data_struct(model) for model in dict.fromkeys(DATA_OF.values())}
_STRUCTS = {event_type: _event_struct(event_type, _DATA_STRUCTS[model]) for event_type, model in DATA_OF.items()}
_MOMENTS = {
    event_type: tuple(name for name, info in fields_of(model).items() if mark(info, Kind).name == "moment")
    for event_type, model in DATA_OF.items()
}
_IDENTIFIERS = {
    model: frozenset(name for name, info in fields_of(model).items() if mark(info, Identifier) is not None)
    for model in _DATA_STRUCTS
}

Decoded = tuple[Any, int, Notes | None]
"""An event, its time in epoch ms, and what is worth counting about it."""


class Decoder:
    """Decodes the records of one subject's topic. `mask_key`: of the hash that replaces card numbers in identifiers."""

    def __init__(self, subject: str, mask_key: bytes) -> None:
        self._subject = subject
        self._masker = Masker(mask_key)
        allowed = [_STRUCTS[t] for t, home in SUBJECT_OF.items() if home in (subject, EVERYWHERE)]
        self._fast: Callable[[bytes], Any] = msgspec.json.Decoder(Union[tuple(allowed)]).decode  # noqa: UP007

    def decode(self, value: bytes | None, key: bytes | None, headers: Sequence[tuple[str, bytes]]) -> Decoded:
        """(event, epoch ms, notes or None). Raises Refused, and nothing else."""
        if (
            value
            and (not headers or _structured(headers))
            and len(value) <= MAX_BYTES
            and b"\\" not in value
            and b"null" not in value
            and not may_hold_card(value)
            and (value.isascii() and b"\x7f" not in value or _CONTROL_BYTES.search(value) is None)
        ):
            try:
                event = self._fast(value)
                ms = epoch_ms(event.time)
                for name in _MOMENTS[event.TYPE]:
                    moment = getattr(event.data, name)
                    if moment is not None:
                        epoch_ms(moment)
                if key is None or not may_hold_card(key):
                    return event, ms, None
            except (ValueError, RecursionError):
                pass  # the slow way says what is wrong, or finds that it is merely unknown
        try:
            return self._slowly(value, key, headers)
        except Refused as refused:
            mask = self._masker.text
            source = None if refused.source is None else self._masker.identifier(refused.source)
            raise Refused(refused.reason, mask(refused.detail), source) from None

    # --- the slow way ---------------------------------------------------------------------------------------------

    def _slowly(self, value: bytes | None, key: bytes | None, headers: Sequence[tuple[str, bytes]]) -> Decoded:
        if not value:
            raise Refused("null_value", "the record has no value")
        if len(value) > MAX_BYTES:
            raise Refused("too_large", f"{len(value)} bytes; the limit is {MAX_BYTES}")
        body = _parse(value)
        fields = _from_headers(headers, body)
        source = fields.get("source") if isinstance(fields, dict) else None
        event_type = self._envelope(fields)
        assert isinstance(fields, dict) and isinstance(source, str)
        source = source[:LONGEST]
        home = SUBJECT_OF.get(event_type)
        if home is None:
            raise Refused("unknown_type", f"type: no event type {event_type[:100]!r}", source)
        if home not in (self._subject, EVERYWHERE):
            raise Refused("wrong_topic", f"type: {event_type} belongs on the topic of {home}", source)
        try:
            event_model(event_type).model_validate(fields)
        except ValidationError as error:
            raise Refused("invalid_field", _problem(error), source) from None
        model = DATA_OF[event_type]
        data = fields["data"]
        known = {name: item for name, item in fields.items() if name in CORE}
        known["data"] = {name: item for name, item in data.items() if name in fields_of(model)}
        extension = len(known) < len(fields)
        unknown_field = len(known["data"]) < len(data)
        masked = self._mask(known, model)
        card = masked or self._in_bytes(key, headers)
        try:
            event = msgspec.convert(known, _STRUCTS[event_type])
        except (ValueError, RecursionError) as error:
            raise Refused("invalid_field", str(error), source) from None
        notes = Notes(extension, unknown_field, card) if extension or unknown_field or card else None
        return event, epoch_ms(event.time), notes

    def _envelope(self, fields: object) -> str:
        """The type of what is an event at all."""
        if not isinstance(fields, dict):
            raise Refused("not_an_event", f"expected a JSON object, got {_kind_of(fields)}")
        version = fields.get("specversion")
        if version != "1.0" or not isinstance(version, str):
            raise Refused("not_an_event", 'specversion: expected "1.0"')
        for name in ("id", "source", "type", "time"):
            item = fields.get(name)
            if not isinstance(item, str) or not item:
                raise Refused("not_an_event", f"{name}: expected a non-empty string, got {_kind_of(item)}")
        event_type: str = fields["type"]
        return event_type

    def _mask(self, fields: dict[str, Any], model: type[Data]) -> bool:
        """Masks card numbers in place; whether there were any."""
        found = False
        for name in ("id", "source", "subject"):
            found |= self._replace(fields, name, self._masker.identifier)
        for name in ("datacontenttype", "dataschema"):
            found |= self._replace(fields, name, self._masker.text)
        data = fields["data"]
        for name in data:
            by = self._masker.identifier if name in _IDENTIFIERS[model] else self._masker.text
            found |= self._replace(data, name, by)
        return found

    def _replace(self, holder: dict[str, Any], name: str, by: Callable[[str], str]) -> bool:
        text = holder.get(name)
        if not isinstance(text, str):
            return False
        masked = by(text)
        holder[name] = masked
        return masked != text

    def _in_bytes(self, key: bytes | None, headers: Sequence[tuple[str, bytes]]) -> bool:
        """Whether a card number is in the key or the headers. They are dropped with the record, but it is a finding."""
        items = [key or b"", *(item or b"" for _, item in headers), *(name.encode() for name, _ in headers)]
        return any(may_hold_card(item) and self._masker.raw(item) != item for item in items)


def _parse(value: bytes) -> object:
    try:
        return msgspec.json.decode(value)
    except RecursionError:
        raise Refused("not_json", "nested deeper than the parser goes") from None
    except UnicodeDecodeError as error:
        raise Refused("not_json", f"byte {error.start}: not UTF-8") from None
    except msgspec.ValidationError:
        return _parse_huge(value)
    except msgspec.DecodeError as error:
        raise Refused("not_json", str(error)) from None


def _parse_huge(value: bytes) -> object:
    """JSON with a number beyond what a float holds: well-formed, so the field is at fault and not the text."""

    def refuse(name: str) -> object:
        raise ValueError(f"{name} is no JSON")

    try:
        return json.loads(value, parse_constant=refuse, parse_int=_integer)
    except RecursionError:
        raise Refused("not_json", "nested deeper than the parser goes") from None
    except ValueError as error:
        raise Refused("not_json", str(error)) from None


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) < 100 else float("inf")


def _from_headers(headers: Sequence[tuple[str, bytes]], body: object) -> object:
    """The event's fields in either mode of the CloudEvents Kafka binding."""
    if not headers:
        return body
    plain = {name.lower(): item for name, item in headers}
    content_type = plain.get("content-type") or b""
    binary = "ce_specversion" in plain and not content_type.lower().startswith(_CLOUD_EVENT)
    if not binary:
        return body
    fields: dict[str, Any] = {}
    for name, item in plain.items():
        if name.startswith("ce_"):
            fields[name[3:]] = (item or b"").decode("utf-8", "replace")
    if content_type:
        fields["datacontenttype"] = content_type.decode("utf-8", "replace")
    fields["data"] = body
    return fields


def _structured(headers: Sequence[tuple[str, bytes]]) -> bool:
    """Whether headers are there, but neither make the event nor hold anything that looks like a card number."""
    for name, item in headers:
        if name[:3].lower() == "ce_" or (item and may_hold_card(item)) or len(name) > 12:
            return False
    return True


def _kind_of(value: object) -> str:
    names: Mapping[type, str] = {
        type(None): "nothing", bool: "a bool", int: "a number", float: "a number", str: "a string", list: "an array",
        dict: "an object",
    }  # fmt: skip
    if value == "" and isinstance(value, str):
        return "an empty string"
    return names.get(type(value), type(value).__name__)


def _problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "data"
    more = error.error_count() - 1
    text = first["msg"].removeprefix("Value error, ")
    if first["type"] == "literal_error" and where.endswith("currency"):
        text = "expected an ISO 4217 currency code"
    return f"{where}: {text}" + (f" (and {more} more)" if more else "")
