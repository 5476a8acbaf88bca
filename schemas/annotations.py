"""What a field is for: marks on the fields of the event models, from which tables, decoder and documents are made."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StrictBool, StrictInt, StrictStr

from schemas.currencies import CURRENCIES
from schemas.time import epoch_ms

LARGEST = 10**12
LONGEST = 256
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Dimension:
    """The field is a dimension of its tables."""


@dataclass(frozen=True, slots=True)
class Measure:
    """The field is a measure of its tables. `sketch`: with quantiles."""

    sketch: bool = False


@dataclass(frozen=True, slots=True)
class Identifier:
    """The field names one thing: a card number in it becomes a hash, not stars."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How the fast decoder takes the field: `text`, `moment`, `amount`, `duration`, `bool`, `choice`."""

    name: str
    low: int = 0
    high: int = LARGEST
    choices: tuple[str, ...] = ()


def _plain(text: str) -> str:
    if CONTROL.search(text):
        raise ValueError("control characters are not allowed")
    return text


def _finite(number: float) -> float:
    if not 0 <= number <= LARGEST:
        raise ValueError(f"expected a number from 0 to {LARGEST}")
    return number


def _moment(text: str) -> str:
    epoch_ms(text)
    return text


Text = Annotated[StrictStr, Field(min_length=1, max_length=LONGEST), AfterValidator(_plain), Kind("text")]
Moment = Annotated[
    StrictStr, Field(max_length=64, json_schema_extra={"format": "date-time"}), AfterValidator(_moment), Kind("moment")
]
Amount = Annotated[StrictInt, Field(ge=0, le=LARGEST), Kind("amount")]
Duration = Annotated[
    float, Field(strict=True, ge=0, le=LARGEST, allow_inf_nan=False), AfterValidator(_finite), Kind("duration")
]
Percent = Annotated[
    float, Field(strict=True, ge=0, le=100, allow_inf_nan=False), AfterValidator(_finite), Kind("duration", high=100)
]
Score = Annotated[StrictInt, Field(ge=1, le=5), Kind("amount", 1, 5)]
Flag = Annotated[StrictBool, Kind("bool")]
Currency = Annotated[Literal[CURRENCIES], Kind("choice", choices=CURRENCIES)]  # type: ignore[valid-type]


def choice(*values: str) -> object:
    """A text that is one of a closed set."""
    return Annotated[Literal[values], Kind("choice", choices=values)]  # type: ignore[valid-type]
