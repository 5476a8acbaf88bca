"""Sums of money as people read them: from minor units, with the currency's code."""

from __future__ import annotations

from console.words import NB, grouped

MINUS = "\u2212"
_DECIMALS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
}
"""ISO 4217, where it is not two."""
_OF = {code: digits for digits, codes in _DECIMALS.items() for code in codes.split()}


def money(minor: int, currency: str) -> str:
    """`ZAR 1 234.56`; without cents from 100 on where these are not asked for: `ZAR 423 000`."""
    digits = _OF.get(currency, 2)
    whole, rest = divmod(abs(minor), 10**digits)
    cents = f".{rest:0{digits}}" if digits and whole < 100 else ""
    if not cents and rest * 2 >= 10**digits and digits:
        whole += 1
    sign = MINUS if minor < 0 else ""
    return f"{sign}{currency}{NB}{grouped(whole)}{cents}"
