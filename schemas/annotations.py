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
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters (C0, DEL, C1), and halves of characters."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """The field is a dimension of its tables."""


@dataclass(frozen=True, slots=True)
class Measure:
    """The field is a measure of its tables. `sketch`: with quantiles."""

    sketch: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """What the field holds: `text`, `moment`, `amount` (an integer), `duration` (a number), `bool` or `choice`."""

    name: str


def _plain(text: str) -> str:
    if CONTROL.search(text):
        raise ValueError("control characters are not allowed")
    return text


def _moment(text: str) -> str:
    epoch_ms(text)
    return text


Text = Annotated[
    StrictStr,
    Field(min_length=1, max_length=LONGEST, json_schema_extra={"pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$"}),
    AfterValidator(_plain),
    Kind("text"),
]
Moment = Annotated[
    StrictStr, Field(max_length=64, json_schema_extra={"format": "date-time"}), AfterValidator(_moment), Kind("moment")
]
Amount = Annotated[StrictInt, Field(ge=0, le=LARGEST), Kind("amount")]
Duration = Annotated[float, Field(strict=True, ge=0, le=LARGEST, allow_inf_nan=False), Kind("duration")]
Percent = Annotated[float, Field(strict=True, ge=0, le=100, allow_inf_nan=False), Kind("duration")]
Score = Annotated[StrictInt, Field(ge=1, le=5), Kind("amount")]
Flag = Annotated[StrictBool, Kind("bool")]
Currency = Annotated[
    Literal[CURRENCIES],  # type: ignore[valid-type]
    Field(description="ISO 4217"),
    Kind("choice"),
]
