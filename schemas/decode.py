"""From the bytes of a record to an event, or to the reason why it cannot be one.

Nearly every event takes the fast way: one pass of msgspec over structs that are made from the pydantic models, after a
few searches through the bytes that rule out what the structs do not check (escapes, control characters, a card number).
What looks odd takes the careful way: parse, drop and note what is unknown, convert, mask. What fails is shown to the
pydantic model, which says what is wrong; both ways accept what the models accept, and nothing else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Protocol, Union

import msgspec
from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from schemas.annotations import CONTROL, LONGEST
from schemas.events import CORE, DATA_OF, EVERYWHERE, SUBJECT_OF, Data, Envelope, event_model
from schemas.masking import BACKSLASH, SHORTEST, Masker, holds_card, is_identifier, may_hold_card
from schemas.tables import fields_of, kind_of
from schemas.time import epoch_ms, epochs

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 256
"""Of nesting. Fixed, and far below what the parser can do, so that it does not depend on who calls."""
_DETAIL_CHARS = 500
_SHOWN_CHARS = 60
_CONTROL_BYTES = re.compile(b"\x7f|\xc2[\x80-\x9f]")
_DELETE = 0x7F
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[{\]}]', re.DOTALL)
_MALFORMED = re.compile(r"JSON is malformed: (.*) \(byte (\d+)\)")
_CLOUD_EVENT = b"application/cloudevents"


class Event(Protocol):
    """A decoded event; `data` has the fields of the type's model: moments as epoch ms, None where an optional one is absent."""

    TYPE: ClassVar[str]
    id: str
    source: str
    time: str
    data: Any


class Record(Protocol):
    """A Kafka record as a consumer hands it out; `timestamp` is the broker's, in epoch ms."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


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

_BOUNDS = {Ge: "ge", Le: "le", MinLen: "min_length", MaxLen: "max_length"}
_Field = tuple[str, Any] | tuple[str, Any, Any]


def _fast_field(name: str, info: FieldInfo) -> _Field:
    """The field as msgspec takes it, with the bounds that the model gives it. Null is refused by the type itself."""
    bounds = {
        word: getattr(item, word) for item in info.metadata for kind, word in _BOUNDS.items() if isinstance(item, kind)
    }
    fast = Annotated[info.annotation, msgspec.Meta(**bounds)] if bounds else info.annotation
    return (name, fast) if info.is_required() else (name, fast, None)


def _fast_fields(model: type[Data] | type[Envelope]) -> list[_Field]:
    fields = [_fast_field(name, info) for name, info in model.model_fields.items()]
    return sorted(fields, key=len)  # required ones first


def _data_struct(model: type[Data]) -> type[msgspec.Struct]:
    return msgspec.defstruct(f"{model.__name__}Data", _fast_fields(model), forbid_unknown_fields=True, gc=False)


def _event_struct(event_type: str, model: type[Data], data: type[msgspec.Struct]) -> type[msgspec.Struct]:
    envelope = [field for field in _fast_fields(Envelope) if field[0] != "type"]
    return msgspec.defstruct(
        f"Event_{event_type}",
        sorted([*envelope, ("data", data)], key=len),
        tag_field="type",
        tag=event_type,
        forbid_unknown_fields=True,
        gc=False,
        namespace={
            "TYPE": event_type,
            "MOMENTS": tuple(name for name, info in fields_of(model).items() if kind_of(info) == "moment"),
        },
    )


_DATA_STRUCTS = {model: _data_struct(model) for model in dict.fromkeys(DATA_OF.values())}
_STRUCTS = {event_type: _event_struct(event_type, model, _DATA_STRUCTS[model]) for event_type, model in DATA_OF.items()}

_FIELDS = {event_type: frozenset(fields_of(model)) for event_type, model in DATA_OF.items()}

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
            and _plain(value)
            and (key is None or len(key) < SHORTEST or not holds_card(key))
        ):
            try:
                event = self._fast(value)
                return event, _epoch_ms(event), None
            except (ValueError, RecursionError):
                pass  # the careful way says what is wrong, or finds that it is merely unknown
        try:
            return self._carefully(value, key, headers)
        except Refused as refused:
            mask = self._masker
            source = None if refused.source is None else mask.identifier(refused.source)
            raise Refused(refused.reason, mask.text(refused.detail), source) from None

    def decode_all(self, records: Sequence[Record]) -> tuple[list[Any], list[int], dict[int, Notes]]:
        """The events of a chunk of records and their times; None, and 0, for each that has to be decoded by itself, since
        something is odd about it. By place what is worth counting about an event that merely holds something unknown.

        The same look at the bytes as `decode` takes, but at the whole chunk at once."""
        values = [record.value or b"" for record in records]
        odd = _odd_values(values, 0) + _odd_sides(records)
        for index in odd:
            values[index] = b""  # which is no event
        if not odd:
            try:
                whole = list(map(self._fast, values))
                return whole, _epochs(whole), {}
            except (ValueError, RecursionError):
                pass  # one by one, then, to know which
        fast, drifting = self._fast, False
        events, times, notes = [], [], {}
        for place, value in enumerate(values):
            event, ms, noted = None, 0, None
            if not drifting:
                try:
                    event = fast(value)
                    ms = _epoch_ms(event)
                except (ValueError, RecursionError):
                    event, ms = None, 0
            if event is None and value:
                # What holds something unknown seldom comes alone: the next is not tried the fast way first, which would fail.
                try:
                    event, ms, noted = self._event(_parse(value), plain=True)
                except (ValueError, RecursionError):
                    event, ms, noted = None, 0, None
                drifting = noted is not None
                if noted is not None:
                    notes[place] = noted
            events.append(event)
            times.append(ms)
        return events, times, notes

    # --- the careful way ------------------------------------------------------------------------------------------

    def _carefully(self, value: bytes | None, key: bytes | None, headers: Sequence[tuple[str, bytes]]) -> Decoded:
        if not value:
            raise Refused("null_value", "the record has no value")
        if len(value) > MAX_BYTES:
            raise Refused("too_large", f"{len(value)} bytes; the limit is {MAX_BYTES}")
        event, ms, notes = self._event(_from_headers(headers, _parse(value)), plain=False)
        if holds_card(value) or _in_bytes(key, headers):
            self._mask(event)
            notes = Notes(notes is not None and notes.extension, notes is not None and notes.unknown_field, card=True)
        return event, ms, notes

    def _event(self, fields: object, *, plain: bool) -> Decoded:
        """The event of these fields, with what is unknown dropped and noted. `plain`: as `_plain` has it. Raises Refused."""
        if not isinstance(fields, dict):
            raise Refused("not_an_event", f"expected a JSON object, got {_shown(fields)}")
        source = _source(fields)
        event_type = self._type(fields, source)
        home = SUBJECT_OF.get(event_type)
        if home is None:
            raise Refused("unknown_type", f"type: no event type {self._shown(event_type)}", source)
        if home not in (self._subject, EVERYWHERE):
            raise Refused("wrong_topic", f"type: {event_type} belongs on the topic of {home}", source)

        extension, unknown_field = not fields.keys() <= CORE, False
        known = {name: item for name, item in fields.items() if name in CORE} if extension else fields
        data, wanted = known.get("data"), _FIELDS[event_type]
        if isinstance(data, dict) and not data.keys() <= wanted:
            unknown_field = True
            known = known | {"data": {name: item for name, item in data.items() if name in wanted}}
        try:
            event = msgspec.convert(known, _STRUCTS[event_type])
            if not plain:
                texts = [text for holder in (known, known["data"]) for text in holder.values() if isinstance(text, str)]
                if CONTROL.search("".join(texts)):
                    raise ValueError("control characters are not allowed")
            ms = _epoch_ms(event)
        except (ValueError, RecursionError) as error:
            raise Refused("invalid_field", self._problem(event_type, known) or str(error), source) from None
        return event, ms, Notes(extension, unknown_field) if extension or unknown_field else None

    def _type(self, fields: dict[str, Any], source: str | None) -> str:
        """The type of what is an event at all."""
        version = fields.get("specversion")
        if version != "1.0":
            raise Refused("not_an_event", f'specversion: expected "1.0", got {self._shown(version)}', source)
        for name in ("id", "source", "type", "time"):
            item = fields.get(name)
            if not isinstance(item, str) or not item:
                raise Refused("not_an_event", f"{name}: expected a non-empty string, got {self._shown(item)}", source)
        event_type: str = fields["type"]
        return event_type

    def _mask(self, event: Any) -> None:
        """Masks card numbers in place. A hash may make a text longer than 256 characters."""
        for holder in (event, event.data):
            for name in holder.__struct_fields__:
                text = getattr(holder, name)
                if isinstance(text, str) and len(text) >= SHORTEST:
                    mask = self._masker.identifier if is_identifier(name) else self._masker.text
                    setattr(holder, name, mask(text))

    def _shown(self, value: object) -> str:
        return _shown(self._masker.text(value) if isinstance(value, str) else value)

    def _problem(self, event_type: str, fields: dict[str, Any]) -> str | None:
        """What the model says is wrong, and where: `data.amount: expected an integer, got "12"`."""
        try:
            event_model(event_type).model_validate(fields)
            return None
        except ValidationError as error:
            problems = error.errors(include_url=False)
        first = problems[0]
        where = ".".join(str(part) for part in first["loc"])
        bounds = first.get("ctx", {})
        expected = _EXPECTED.get(first["type"])
        got = f", got {self._shown(first['input'])}"
        if first["type"] == "missing":
            text = "required, but missing"
        elif first["input"] is None:
            text = "null is refused; an optional field is left out"
        elif where == "data.currency" and first["type"] == "literal_error":
            text = "expected an ISO 4217 currency" + got
        elif expected is not None:
            text = expected.format(**bounds) + got
        else:
            text = first["msg"].removeprefix("Value error, ") + got
        return f"{where}: {text}" + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else "")


_EXPECTED = {
    "string_type": "expected a string",
    "string_unicode": "expected a string of whole characters",
    "string_too_short": "expected a string of 1 to 256 characters",
    "string_too_long": "expected a string of at most {max_length} characters",
    "int_type": "expected an integer",
    "int_from_float": "expected an integer",
    "float_type": "expected a number",
    "finite_number": "expected a finite number",
    "bool_type": "expected true or false",
    "greater_than_equal": "expected a number of at least {ge:.0f}",
    "less_than_equal": "expected a number of at most {le:.0f}",
    "literal_error": "expected {expected}",
    "model_type": "expected an object",
}
"""What to say for pydantic's types of error."""


def _odd_values(values: list[bytes], first: int) -> list[int]:
    """The places (the first is `first`) of values whose bytes need more than the fast way. Halved until it is known which."""
    text = b"\n".join(values)
    if len(text) <= MAX_BYTES and _plain(text):
        return []
    if len(values) == 1:
        return [first]
    half = len(values) // 2
    return _odd_values(values[:half], first) + _odd_values(values[half:], first + half)


def _odd_sides(records: Sequence[Record]) -> list[int]:
    """The places of records whose key or headers need more than the fast way."""
    keys = [record.key or b"" for record in records]
    odd = [index for index, key in enumerate(keys) if holds_card(key)] if holds_card(b"\n".join(keys)) else []
    headers = [record.headers for record in records]
    usual = next(filter(None, headers), ())  # a producer sends the same ones again and again
    fine = _structured(usual)
    if not fine or headers.count(usual) < len(headers):
        odd += [
            index
            for index, one in enumerate(headers)
            if one and not (fine and one == usual) and not _structured(one)
        ]
    return odd


def _plain(text: bytes) -> bool:
    """Whether there is nothing in these bytes that the structs would overlook: an escape, a control character, a card
    number. An escaped slash, which some encoders write, hides nothing."""
    if BACKSLASH in text:
        text = text.replace(b"\\/", b"/")
    return (
        BACKSLASH not in text
        and not holds_card(text)
        and ((text.isascii() and _DELETE not in text) or _CONTROL_BYTES.search(text) is None)
    )


def _epoch_ms(event: Any) -> int:
    """The time of an event; moments in the data become epoch ms in place. Raises ValueError where one is none."""
    for name in event.MOMENTS:
        moment = getattr(event.data, name)
        if moment is not None:
            setattr(event.data, name, epoch_ms(moment))
    return epoch_ms(event.time)


def _epochs(events: Sequence[Any]) -> list[int]:
    """`_epoch_ms` of each."""
    kinds: set[Any] = set(map(type, events))
    for name in {name for kind in kinds for name in kind.MOMENTS}:
        holders = [event.data for event in events if name in event.MOMENTS]
        holders = [data for data in holders if getattr(data, name) is not None]
        for data, ms in zip(holders, epochs([getattr(data, name) for data in holders]), strict=True):
            setattr(data, name, ms)
    return epochs([event.time for event in events])


def _source(fields: dict[str, Any]) -> str | None:
    """The source, if it may stand in a table."""
    source = fields.get("source")
    valid = isinstance(source, str) and 0 < len(source) <= LONGEST and not CONTROL.search(source)
    return source if valid else None


def _in_bytes(key: bytes | None, headers: Sequence[tuple[str, bytes]]) -> bool:
    """Whether a card number is in the key or the headers. They go no further than the record, but it is a finding."""
    items = [key or b"", *(item or b"" for _, item in headers), *(_header_name(name) for name, _ in headers)]
    return any(holds_card(item) for item in items)


def _header_name(name: str) -> bytes:
    return name.encode("utf-8", "replace")


def _parse(value: bytes) -> object:
    if _too_deep(value):
        raise Refused("not_json", f"nested deeper than {MAX_DEPTH}")
    try:
        return msgspec.json.decode(value)
    except RecursionError:
        raise Refused("not_json", "nested deeper than the parser goes") from None
    except msgspec.ValidationError:
        return _parse_huge(value)
    except msgspec.DecodeError as error:
        malformed = _MALFORMED.fullmatch(str(error))
        if malformed is None:
            raise Refused("not_json", f"byte {len(value)}: the text ends too early") from None
        raise Refused("not_json", f"byte {malformed[2]}: {malformed[1]}") from None
    except UnicodeDecodeError:
        raise Refused("not_json", _not_utf8(value)) from None


def _not_utf8(value: bytes) -> str:
    try:
        value.decode()
    except UnicodeDecodeError as error:
        return f"byte {error.start}: not UTF-8"
    return "not UTF-8"


def _too_deep(value: bytes) -> bool:
    if value.count(b"[") + value.count(b"{") <= MAX_DEPTH:
        return False
    depth = 0
    for token in _TOKEN.finditer(value):
        char = value[token.start()]
        if char in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif char in b"]}":
            depth -= 1
    return False


def _parse_huge(value: bytes) -> object:
    """JSON with a number beyond what a float holds: well-formed, so the field is at fault and not the text."""

    def refuse(name: str) -> object:
        raise ValueError(f"{name} is no JSON")

    try:
        return json.loads(value.decode(), parse_constant=refuse, parse_int=_integer)
    except RecursionError:
        raise Refused("not_json", "nested deeper than the parser goes") from None
    except UnicodeDecodeError:
        raise Refused("not_json", _not_utf8(value)) from None
    except ValueError as error:
        raise Refused("not_json", str(error)) from None


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) < 100 else float("inf")


def _from_headers(headers: Sequence[tuple[str, bytes]], body: object) -> object:
    """The event's fields in either mode of the CloudEvents Kafka binding."""
    if not headers:
        return body
    plain = {name.lower(): item or b"" for name, item in headers}
    content_type = plain.get("content-type", b"")
    if "ce_specversion" not in plain or content_type.lower().startswith(_CLOUD_EVENT):
        return body
    attributes = {name[3:]: item for name, item in plain.items() if name.startswith("ce_")}
    if content_type:
        attributes["datacontenttype"] = content_type
    fields: dict[str, Any] = {}
    for name, item in attributes.items():
        try:
            fields[name] = item.decode()
        except UnicodeDecodeError:
            if name in CORE:
                raise Refused("not_an_event", f"header ce_{name}: not UTF-8") from None
            fields[name] = ""  # an extension: that it is there is all that counts
    fields["data"] = body
    return fields


def _structured(headers: Sequence[tuple[str, bytes]]) -> bool:
    """Whether headers are there, but neither make the event nor hold anything that looks like a card number."""
    for name, item in headers:
        if name[:3].lower() == "ce_" or (item and len(item) >= SHORTEST and may_hold_card(item)):
            return False
        if len(name) >= SHORTEST and may_hold_card(_header_name(name)):
            return False
    return True


def _shown(value: object) -> str:
    """A value for people to read, in JSON's words."""
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, float) and not abs(value) < float("inf"):
        return "a number beyond all bounds"
    text = json.dumps(value, ensure_ascii=not isinstance(value, str) or CONTROL.search(value) is not None)
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…"
