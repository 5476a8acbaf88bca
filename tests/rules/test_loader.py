"""Packs as people write them, and as they miswrite them: each error names the file, the line, the column of the culprit,
what was expected, and the nearest known name; and the other rules go on."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.document import DEEPEST, LARGEST
from rules.loader import KEYS, PACKS, Unreadable, load, read
from tests.support.packs import GOOD, marked, names

TWELVE = """\
payment_alerts:
  payment_processing_failure:
    condition: "payment_failure_rate > 5% for 5 minutes"
    severity: "critical"
    notification: ["phone", "email", "slack"]
  high_payment_latency:
    condition: "avg_payment_latency > 10 seconds for 3 minutes"
    severity: "high"
    notification: ["email", "slack"]
  payment_volume_drop:
    condition: "payment_volume < 50% of baseline for 15 minutes"
    severity: "medium"
    notification: ["email", "slack"]
system_health_alerts:
  system_down: {condition: "health_check_failures > 3 consecutive", severity: "critical", notification: ["phone", "email", "slack", "webhook"]}
  database_connectivity: {condition: "database_connection_failures > 2 in 5 minutes", severity: "high", notification: ["email", "slack"]}
  api_connectivity: {condition: "api_connection_failures > 5 in 10 minutes", severity: "high", notification: ["email", "slack"]}
performance_alerts:
  high_response_time: {condition: "avg_response_time > 5 seconds for 5 minutes", severity: "medium", notification: ["email", "slack"]}
  high_memory_usage: {condition: "memory_usage > 90% for 10 minutes", severity: "high", notification: ["email", "slack"]}
  high_cpu_usage: {condition: "cpu_usage > 85% for 15 minutes", severity: "medium", notification: ["email", "slack"]}
security_alerts:
  security_breach: {condition: "security_violations > 0", severity: "critical", notification: ["phone", "email", "slack", "webhook"]}
  suspicious_activity: {condition: "failed_auth_attempts > 10 in 5 minutes", severity: "high", notification: ["email", "slack"]}
  webhook_security_violation: {condition: "invalid_webhook_signatures > 3 in 5 minutes", severity: "medium", notification: ["email", "slack"]}
"""  # noqa: E501

# --- what ships -------------------------------------------------------------------------------------------------------


def test_the_twelve_rules_load_exactly_as_they_stand() -> None:
    found = read([("twelve.yaml", TWELVE)])
    assert found.problems == ()
    assert len(found.rules) == 12
    for pack, rules in yaml.safe_load(TWELVE).items():
        for name, written in rules.items():
            (rule,) = [one for one in found.rules if one.full_name == (pack, name)]
            assert rule.parts[0].signal.name in written["condition"]
            assert rule.severity == written["severity"]
            assert rule.channels == tuple(written["notification"])


def test_the_shipped_packs_hold_the_twelve_as_they_stand() -> None:
    shipped = {rule.full_name: rule for rule in load().rules}
    for rule in read([("twelve.yaml", TWELVE)]).rules:
        same = shipped[rule.full_name]
        assert (same.condition, same.version, same.parts) == (rule.condition, rule.version, rule.parts)
        assert repr(same.verdict) == repr(rule.verdict)


def test_the_shipped_packs_have_no_errors() -> None:
    assert load().problems == ()


# --- broken packs -----------------------------------------------------------------------------------------------------

BROKEN: dict[str, tuple[str, list[str]]] = {
    "a typo in a signal": (
        'p:\n  bad: {condition: "▲payment_failur_rate > 5% for 5 minutes", severity: high}',
        ["no signal 'payment_failur_rate' (did you mean payment_failure_rate?)"],
    ),
    "a typo in the second signal": (
        'p:\n  bad: {condition: "security_violations > 0 or ▲failed_auth_attempt > 3 in 5 minutes", severity: high}',
        ["no signal 'failed_auth_attempt' (did you mean failed_auth_attempts?)"],
    ),
    "two typos in one condition": (
        "p:\n  bad:\n    condition: ▲securty_violations > 0 and ▲cpu_usag > 5%\n    severity: high",
        ["no signal 'securty_violations' (did you mean security_violations?)", "(did you mean cpu_usage?)"],
    ),
    "a time for a rate": (
        "p:\n  bad:\n    condition: payment_failure_rate > ▲5 seconds for 5 minutes\n    severity: high",
        ["payment_failure_rate is compared with a percentage such as 5%, not with 5 seconds"],
    ),
    "a plain number for a rate": (
        "p:\n  bad:\n    condition: payment_failure_rate > ▲0.05 for 5 minutes\n    severity: high",
        ["a percentage such as 5%, not with 0.05"],
    ),
    "a percentage for a time": (
        "p:\n  bad: {condition: avg_response_time > ▲5% for 5 minutes, severity: high}",
        ["avg_response_time is compared with a time such as 5 seconds, not with 5%"],
    ),
    "a unit for a count": (
        "p:\n  bad: {condition: failed_auth_attempts > ▲10% in 5 minutes, severity: high}",
        ["compared with a plain number, not with 10%"],
    ),
    "an unknown unit": (
        "p:\n  bad: {condition: avg_response_time > 5 ▲secnds for 5 minutes, severity: high}",
        ["expected a unit (%, ms, s, seconds, minutes, hours) or a span, got 'secnds' (did you mean seconds?)"],
    ),
    "a bad duration": (
        "p:\n  bad: {condition: avg_response_time > 5 s for 5 ▲minuts, severity: high}",
        ["expected a unit of time (ms, seconds, minutes, hours), got 'minuts' (did you mean minutes?)"],
    ),
    "a zero duration": (
        "p:\n  bad: {condition: avg_response_time > 5 s for ▲0 minutes, severity: high}",
        ["expected a time from 1 ms to 7 days"],
    ),
    "a duration without a unit": (
        "p:\n  bad: {condition: avg_response_time > 5 s for 5▲, severity: high}",
        ["expected a name, got the end"],
    ),
    "a window that is no multiple of a bucket": (
        "p:\n  bad: {condition: payment_failure_rate > 5% over ▲7 seconds, severity: high}",
        ["a whole number of buckets of 5 seconds, not 7 seconds (did you mean 5 seconds?)"],
    ),
    "a window of a day": (
        "p:\n  bad: {condition: payment_failure_rate > 5% over ▲1 day, severity: high}",
        ["looks back over 4 hours at most"],
    ),
    "a 'for' of a day": (
        "p:\n  bad: {condition: payment_failure_rate > 5% over 5 minutes for ▲24 hours, severity: high}",
        ["looks back over 4 hours at most"],
    ),
    "no span": (
        "p:\n  bad: {condition: ▲payment_failure_rate > 5%, severity: high}",
        ["payment_failure_rate needs a span such as 'over 5 minutes', got none"],
    ),
    "'consecutive' on a rate": (
        "p:\n  bad: {condition: payment_failure_rate > 5% ▲consecutive, severity: high}",
        ["payment_failure_rate needs a span such as 'over 5 minutes', got 'consecutive'"],
    ),
    "'consecutive' on a count": (
        "p:\n  bad: {condition: failed_auth_attempts > 5 ▲consecutive, severity: high}",
        ["failed_auth_attempts needs a span such as 'over 5 minutes', got 'consecutive'"],
    ),
    "'over' on a gauge": (
        "p:\n  bad: {condition: memory_usage > 90% ▲over 5 minutes, severity: high}",
        ["memory_usage is a gauge: it takes 'for', as in 'for 5 minutes' (did you mean for?)"],
    ),
    "'in' on a streak": (
        "p:\n  bad: {condition: health_check_failures > 3 ▲in 5 minutes, severity: high}",
        ["health_check_failures counts in a row: it takes 'consecutive'"],
    ),
    "no 'consecutive' on a streak": (
        "p:\n  bad: {condition: ▲health_check_failures > 3, severity: high}",
        ["health_check_failures counts in a row: it takes 'consecutive'"],
    ),
    "a baseline of a ratio": (
        "p:\n  bad: {condition: payment_failure_rate > ▲50% of baseline for 5 minutes, severity: high}",
        ["a baseline is learned of counts and totals; payment_failure_rate is a ratio"],
    ),
    "a share that nothing is above": (
        "p:\n  bad: {condition: cpu_usage > ▲100% for 5 minutes, severity: high}",
        ["cpu_usage > 100% is never true: it is from 0% to 100%"],
    ),
    "a count that everything is above": (
        "p:\n  bad: {condition: failed_auth_attempts >= ▲0 in 5 minutes, severity: high}",
        ["is always true: it is never below 0"],
    ),
    "an unknown dimension in braces": (
        "p:\n  bad:\n    condition: payment_failure_rate{▲provder=ikhokha} > 5% for 5 minutes\n    severity: high",
        ["payment_failure_rate has no dimension 'provder'; it has outcome, provider,", "did you mean provider?"],
    ),
    "a dimension twice in braces": (
        "p:\n  bad:\n    condition: payment_failure_rate{method=card, ▲method=eft} > 5% for 5 minutes\n    severity: high",
        ["dimension method is given twice"],
    ),
    "a value that the signal does not look at": (
        "p:\n  bad:\n    condition: payment_failure_rate{▲outcome=succeded} > 5% for 5 minutes\n    severity: high",
        ["outcome can only be succeeded or failed here, so this would never be true (did you mean succeeded?)"],
    ),
    "a value that is never counted": (
        "p:\n  bad:\n    condition: payment_failure_rate{▲fault=business} > 5% for 5 minutes\n    severity: high",
        ["fault can only be technical or unknown here, so this would never be true"],
    ),
    "a text for a flag": (
        'p:\n  bad:\n    condition: critical_errors{▲critical="yes"} > 1 in 5 minutes\n    severity: high',
        ["critical is true or false, not 'yes'"],
    ),
    "an unknown dimension in 'by'": (
        "p:\n  bad: {condition: payment_volume < 3 for 5 minutes, by: [method, ▲provder], severity: high}",
        ["no dimension 'provder'; there are", "did you mean provider?"],
    ),
    "a dimension of another table in 'by'": (
        "p:\n  bad: {condition: payment_volume < 3 for 5 minutes, by: [method, ▲host], severity: high}",
        ["payment_volume has no dimension 'host'; it has outcome, provider, method"],
    ),
    "a grouping set that no table has": (
        "p:\n  bad: {condition: failed_auth_attempts > 9 in 5 minutes, by: [actor, ▲component], severity: high}",
        ["no table has component together with actor, kind for failed_auth_attempts"],
    ),
    "braces and 'by' that no table has together": (
        "p:\n  bad: {condition: 'failed_auth_attempts{▲component=x} > 9 in 5 minutes', by: actor, severity: high}",
        ["no table has component together with actor, kind for failed_auth_attempts"],
    ),
    "signals that group differently": (
        "p:\n  bad: {condition: cpu_usage > 5% for 1 minute and ▲security_violations > 0, severity: high}",
        ["its signals group by host and nothing: say which with 'by'"],
    ),
    "an unknown dimension in 'where'": (
        "p:\n  bad: {condition: payment_volume < 3 for 5 minutes, where: {▲provder: x}, severity: high}",
        ["no dimension 'provder' (did you mean provider?)"],
    ),
    "'where' of another table": (
        "p:\n  bad: {condition: payment_volume < 3 for 5 minutes, where: {▲host: x}, severity: high}",
        ["payment_volume has no dimension 'host'"],
    ),
    "a list in 'where'": (
        "p:\n  bad: {condition: payment_volume < 3 for 5 minutes, where: {method: ▲[a, b]}, severity: high}",
        ["expected a value of method, got a list"],
    ),
    "no condition": ("p:\n  ▲bad: {severity: high}", ["bad has no condition"]),
    "no severity": ("p:\n  ▲bad:\n    condition: security_violations > 0", ["bad has no severity"]),
    "neither": ("p:\n  ▲▲bad: {owner: me}", ["bad has no condition", "bad has no severity"]),
    "a bad severity": (
        "p:\n  bad:\n    condition: security_violations > 0\n    severity: ▲hihg",
        ["no severity 'hihg'; there are critical, high, medium, low (did you mean high?)"],
    ),
    "a level for a severity": (
        "p:\n  bad:\n    condition: security_violations > 0\n    severity: ▲P0",
        ["no severity 'P0'; there are critical, high, medium, low (did you mean critical?)"],
    ),
    "an unknown key": (
        "p:\n  bad:\n    condition: security_violations > 0\n    severity: high\n    ▲notifications: [email]",
        ["a rule has no 'notifications'; it has condition, severity, notification", "did you mean notification?"],
    ),
    "a level below the rule's own severity": (
        "p:\n  bad:\n    condition: failed_auth_attempts > 10 in 5 minutes\n    severity: high\n    levels: {▲medium: 30}",
        ["expected a severity above high (critical), got 'medium'"],
    ),
    "a level that is nearer than the threshold": (
        "p:\n  bad:\n    condition: failed_auth_attempts > 10 in 5 minutes\n    severity: high\n    levels: ▲{critical: 5}",
        ["each worse severity needs a threshold that is further out"],
    ),
    "a level in another unit": (
        "p:\n  bad:\n    condition: failed_auth_attempts > 10 in 5 minutes\n    severity: high\n    levels: {critical: ▲50%}",
        ["failed_auth_attempts is compared with a plain number, not with 50%"],
    ),
    "an unknown meaning of silence": (
        "p:\n  bad:\n    condition: security_violations > 0\n    severity: high\n    no_data: ▲alarm",
        ["expected ok, zero, alert or hold, got 'alarm'"],
    ),
    "hours that are none": (
        "p:\n  bad:\n    condition: security_violations > 0\n    severity: high\n    during: ▲mon-fry 08:00-17:00",
        ["expected days such as mon-fri or sat,sun or daily, got 'mon-fry'"],
    ),
    "an unknown channel": (
        "p:\n  bad:\n    condition: security_violations > 0\n    severity: high\n    notification: [email, ▲slak]",
        ["no channel 'slak'; there are phone, sms, email, slack, webhook (did you mean slack?)"],
    ),
    "no channel at all": (
        "p:\n  bad:\n    condition: security_violations > 0\n    severity: high\n    notification: ▲[]",
        ["name a channel, or leave it out"],
    ),
    "a duplicate key": (
        "p:\n  bad:\n    condition: security_violations > 0\n    severity: high\n    ▲condition: security_violations > 1",
        ["condition is given twice"],
    ),
    "a number that is too long": (
        "p:\n  bad: {condition: security_violations > ▲1234567890123456789, severity: high}",
        ["a number of more than 18 digits"],
    ),
    "a number for a text": (
        "p:\n  bad: {condition: security_violations > 0, severity: high, owner: ▲42}",
        ["expected a text for owner, got '42': put it in quotes"],
    ),
    "a text for a number": (
        "p:\n  bad: {condition: security_violations > 0, severity: high, min_events: ▲many}",
        ["expected a whole number for min_events from 1 to 1000000, got 'many'"],
    ),
    "half an event": (
        "p:\n  bad: {condition: security_violations > 0, severity: high, min_events: ▲2.5}",
        ["expected a whole number for min_events"],
    ),
    "a confidence in percent": (
        "p:\n  bad: {condition: security_violations > 0, severity: high, confidence: ▲95}",
        ["expected a number for confidence from 0 to 0.999999, got '95'"],
    ),
    "a text for a flag of the rule": (
        "p:\n  bad: {condition: security_violations > 0, severity: high, enabled: ▲maybe}",
        ["expected true or false, got 'maybe'"],
    ),
    "a bad time to resolve after": (
        "p:\n  bad: {condition: security_violations > 0, severity: high, resolve_after: 5 ▲minuts}",
        ["expected a unit of time", "did you mean minutes?"],
    ),
    "a resolve that is over before it began": (
        "p:\n  bad: {condition: payment_failure_rate > 5% for 5 minutes, severity: high, resolve: ▲7%}",
        ["7% is above the threshold, so it would be over before it began"],
    ),
    "a resolve in the wrong direction": (
        'p:\n  bad: {condition: payment_failure_rate > 5% for 5 minutes, severity: high, resolve: "▲> 3%"}',
        ["what began with > is not over with > (did you mean <=?)"],
    ),
    "a resolve where there is none": (
        "p:\n  bad: {condition: security_violations > 0, severity: high, resolve: '▲0'}",
        ["security_violations takes no 'resolve' here: without a span it is over after 5 minutes without another"],
    ),
    "a resolve on another signal": (
        "p:\n  bad: {condition: payment_failure_rate > 5% for 5 minutes, severity: high, resolve: ▲cpu_usage < 3%}",
        ["expected a threshold such as 3% or <= 3%, or a condition on payment_failure_rate"],
    ),
    "an unknown inhibitor": (
        "p:\n  bad: {condition: security_violations > 0, severity: high, inhibited_by: [▲goood]}",
        ["no rule 'goood' (did you mean good?)"],
    ),
    "an inhibitor of two packs": (
        f"p:\n  bad: {{condition: security_violations > 0, severity: high, inhibited_by: ▲same}}\n"
        f"q:\n  same: {GOOD}\nr:\n  same: {GOOD}",
        ["same is a rule of q and r: write q/same or r/same"],
    ),
    "a rule that inhibits itself": (
        "p:\n  bad: {condition: security_violations > 0, severity: high, inhibited_by: [▲bad]}",
        ["cyclic inhibition of itself"],
    ),
    "two rules that inhibit each other": (
        "p:\n  a: {condition: security_violations > 0, severity: high, inhibited_by: [bad]}\n"
        "  bad: {condition: security_violations > 0, severity: high, inhibited_by: [▲a]}",
        ["cyclic inhibition: a is itself inhibited by p/bad"],
    ),
    "three that do so in a ring": (
        "p:\n  a: {condition: security_violations > 0, severity: high, inhibited_by: [b]}\n"
        "  b: {condition: security_violations > 0, severity: high, inhibited_by: [bad]}\n"
        "  bad: {condition: security_violations > 0, severity: high, inhibited_by: [▲p/a]}",
        ["cyclic inhibition: p/a is itself inhibited by p/bad"],
    ),
    "two rings that share a rule": (
        "p:\n  a: {condition: security_violations > 0, severity: high, inhibited_by: [bad]}\n"
        "  bad: {condition: security_violations > 0, severity: high, inhibited_by: [▲a, bad2]}\n"
        "  bad2: {condition: security_violations > 0, severity: high, inhibited_by: [▲bad]}",
        ["a is itself inhibited by p/bad", "bad is itself inhibited by p/bad2"],
    ),
    "a list of rules": (f"p:\n  ▲- {GOOD}", ["expected the rules of p by name, got a list"]),
    "a pack of nothing": ("p:▲\nq: {}", ["expected the rules of p by name, got nothing"]),
    "a rule of nothing": ("p:\n  bad:▲", ["expected a mapping with condition and severity, got nothing"]),
    "a rule that is a text": ("p:\n  bad: ▲cpu_usage > 5%", ["expected a mapping with condition and severity, got 'cpu_"]),
    "a duplicate rule": (
        f"p:\n  bad: {{}}\n  ▲bad: {GOOD}".replace("{}", "{condition:▲ , severity: high}"),
        ["expected a text for condition, got nothing", "bad is given twice"],
    ),
    "a name with a slash": (f"p:\n  bad▲/rule: {GOOD}", ["a name has no '/'"]),
    "a name of a list": (f"p:\n  ? ▲[bad]\n  : {GOOD}", ["expected a name, got a list"]),
    "a control character in a text": (
        'p:\n  bad: {condition: security_violations > 0, severity: high, summary: "red ▲\\e[31m"}',
        ["a text for summary may not hold the character U+001B"],
    ),
    "half of a pair in a text": (
        'p:\n  bad: {condition: security_violations > 0, severity: high, summary: "▲\\ud800"}',
        ["a text for summary may not hold the character U+D800"],
    ),
    "a parenthesis too many": (
        "p:\n  bad: {condition: security_violations > 0▲), severity: high}",
        ["got ')'"],
    ),
    "a comparison of another language": (
        'p:\n  bad: {condition: "security_violations ▲=> 5", severity: high}',
        ["expected a comparison", "did you mean >=?"],
    ),
    "capitals": (
        'p:\n  bad: {condition: "security_violations > 5 ▲AND security_violations < 3", severity: high}',
        ["got 'AND' (did you mean and?)"],
    ),
    "a quote that is never closed inside a condition": (
        "p:\n  bad:\n    condition: 'payment_volume{provider=▲\"x} > 3 in 5 minutes'\n    severity: high",
        ["a quote that is never closed"],
    ),
    # What aliases and merges lead to is told where it stands.
    "a typo behind an anchor": (
        "p:\n  bad: {condition: &c ▲security_violation > 0, severity: high}\n  bad2: {condition: *c, severity: high}",
        ["did you mean security_violations?"],
    ),
    "a typo in what is merged": (
        "p:\n  bad: &b {condition: security_violations > 0, severity: ▲hig}\n  bad2: {<<: *b, owner: me}",
        ["did you mean high?"],
    ),
    "a merge of a text": (
        "p:\n  bad: {<<: ▲x, condition: security_violations > 0, severity: high}",
        ["expected a mapping to merge, got 'x'"],
    ),
    # Conditions in every style.
    "double quotes with escapes": (
        'p:\n  bad:\n    condition: "payment_volume{provider=\\"a\\x20b\\"} \\u003e 3 in 5 ▲minuts"\n    severity: high',
        ["got 'minuts'"],
    ),
    "single quotes with quotes": (
        "p:\n  bad: {condition: 'payment_volume{provider=''a b''} > 3 in 5 ▲minuts', severity: high}",
        ["got 'minuts'"],
    ),
    "double quotes over several lines": (
        'p:\n  bad:\n    condition: "payment_volume\n      > 3\n\n      in 5 ▲minuts"\n    severity: high',
        ["got 'minuts'"],
    ),
    "double quotes with a continued line": (
        'p:\n  bad:\n    condition: "payment_vol\\\n      ume > 3 in 5 ▲minuts"\n    severity: high',
        ["got 'minuts'"],
    ),
    "plain over several lines": (
        "p:\n  bad:\n    condition: payment_volume > 3\n      in 5 ▲minuts  # five\n    severity: high",
        ["got 'minuts'"],
    ),
    "folded": (
        "p:\n  bad:\n    condition: >-  # why\n      payment_volume > 3\n      in 5 ▲minuts\n    severity: high",
        ["got 'minuts'"],
    ),
    "literal with an indentation": (
        "p:\n  bad:\n    condition: |2\n        payment_volume > 3\n         in 5 ▲minuts\n    severity: high",
        ["got 'minuts'"],
    ),
    "the end of a folded one": (
        "p:\n  bad:\n    condition: >\n      payment_volume > 3\n      in▲\n\n    severity: high",
        ["expected a number, got the end"],
    ),
    "behind a tag and an anchor": (
        'p:\n  bad: {condition: !!str &c "▲secrity_violations > 0", severity: &s ▲hig}',
        ["did you mean security_violations?", "did you mean high?"],
    ),
    "behind characters of two units": (
        'p:\n  bad: {condition: "payment_volume{provider=\\"🙂\\"} > 3 in 5 ▲minuts", severity: high, owner: "🙂"}',
        ["got 'minuts'"],
    ),
    "behind a byte order mark": ("\ufeffp:\n  bad: {condition: ▲x > 0, severity: high}", ["no signal 'x'"]),
    "in a file of Windows": ("p:\r\n  bad:\r\n    condition: ▲x > 0\r\n    severity: ▲x\r\n", ["no signal 'x'", "no severity"]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_an_error_says_where_and_what_and_the_others_go_on(case: str) -> None:
    written, expected = BROKEN[case]
    text, places = marked(written)
    line_end = "\r\n" if "\r\n" in text else "\n"
    behind = line_end.join(["", "z:", f"  good: {GOOD}", ""])
    found = read([("bad.yaml", text.rstrip("\r\n") + behind), ("good.yaml", f"y:\n  good: {GOOD}\n")])
    told = [str(problem) for problem in found.problems]
    assert [(problem.line, problem.column) for problem in found.problems] == places, told
    assert all(f"bad.yaml:{line}:{column}: error: " in line_ for line_, (line, column) in zip(told, places, strict=True))
    for part in expected:
        assert any(part in line_ for line_ in told), told
    assert {"z/good", "y/good"} <= set(names(found))
    assert not any("bad" in name for name in names(found))


def test_there_are_enough_of_them() -> None:
    assert len(BROKEN) >= 25
    assert sum(len(marked(text)[1]) for text, _ in BROKEN.values()) >= len(BROKEN)


# What is no YAML at all, or no pack: the whole file is lost, and the others go on.
UNUSABLE: dict[str, tuple[str | bytes, str]] = {
    "a tab": ("p:\n▲\tr: {}\n", "YAML is indented with blanks, not with tabs"),
    "a quote that is never closed": ('p:\n  r:\n    condition: ▲"x > 0\n    severity: high\n', "a quote that is never closed"),
    "a quote that the next one closes": (
        'p:\n  r:\n    condition: ▲"x > 0\n    severity: "high"\n',
        "a quote that is closed in line 4 only: is one missing here?",
    ),
    "a brace that is never closed": ("p:\n  r: {condition: x > 0\n  q▲: 1\n", "while parsing a flow mapping"),
    "a colon too many": ("p:\n  r:\n    summary: so▲: it is\n", "mapping values are not allowed here"),
    "an unknown alias": ("p:\n  r: ▲*nothing\n", "found undefined alias"),
    "an alias inside of itself": ("p: &p\n  r: ▲*p\n", "*p stands inside of itself"),
    "two documents": ("p: {}\n▲---\nq: {}\n", "but found another document"),
    "NUL": ("p:\n  r▲\0: {}\n", "the character U+0000"),
    "a bell": ("p:\n  r: ▲\7\n", "the character U+0007"),
    "an escape that stands for nothing": ('p:\n  r: "ab▲\\UFFFFFFFF"\n', "there is no such character"),
    "very deep": ("p: " + "[" * (DEEPEST - 1) + "▲" + "[" * 5_000, f"nested more than {DEEPEST} deep"),
    "nothing": ("▲", "expected packs of rules, got nothing"),
    "a comment": ("▲# nothing yet\n", "expected packs of rules, got nothing"),
    "a text": ("▲rules\n", "expected packs of rules by name, got 'rules'"),
    "a list": ("▲- p: {}\n", "expected packs of rules by name, got a list"),
    "a null": ("▲~\n", "expected packs of rules by name, got nothing"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_file_of_which_nothing_can_be_made(case: str) -> None:
    text, places = marked(str(UNUSABLE[case][0]))
    found = read([("bad.yaml", text), ("good.yaml", f"y:\n  good: {GOOD}\n")])
    (problem,) = found.problems
    assert [(problem.line, problem.column)] == places, str(problem)
    assert UNUSABLE[case][1] in problem.text
    assert names(found) == ["y/good"]


def test_bytes_that_are_no_utf_8() -> None:
    found = read([("bad.yaml", "p:\n  é: ".encode() + b"\xff"), ("16.yaml", "p: {}".encode("utf-16"))])
    assert [str(problem) for problem in found.problems] == [
        "16.yaml:1:1: error: not UTF-8: byte 0xff",
        "bad.yaml:2:6: error: not UTF-8: byte 0xff",
    ]


def test_a_file_of_two_megabytes(tmp_path: Path) -> None:
    (tmp_path / "large.yaml").write_text("# é\n" * 500_000)
    (tmp_path / "good.yaml").write_text(f"p:\n  good: {GOOD}\n")
    found = load([tmp_path])
    assert [problem.text for problem in found.problems] == [f"longer than {LARGEST:,} characters: make several files of it"]
    assert names(found) == ["p/good"]


def test_aliases_that_multiply() -> None:
    lines = ["a: &a [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]" for before, name in zip("abcdefgh", "bcdefghi", strict=True)]
    found = read([("bad.yaml", "\n".join(lines))])
    assert [problem.text for problem in found.problems] == ["more than 100,000 values"]


def test_merges_in_a_long_chain_are_refused_and_not_followed() -> None:
    rules = "".join(f"  r{n}: &r{n} {{<<: *r{n - 1}, owner: me}}\n" for n in range(1, 200))
    found = read([("bad.yaml", f"p:\n  r0: &r0 {GOOD}\n{rules}")])
    assert [problem.text for problem in found.problems] == [f"nested more than {DEEPEST} deep"]


def test_a_rule_can_be_merged_into_another() -> None:
    found = read([("ok.yaml", f"p:\n  a: &a {GOOD}\n  b:\n    <<: *a\n    severity: low\n  c: {{<<: [*a], owner: me}}\n")])
    assert found.problems == ()
    assert {rule.name: rule.severity for rule in found.rules} == {"a": "high", "b": "low", "c": "high"}


def test_a_rule_in_two_files() -> None:
    found = read([("one.yaml", f"p:\n  same: {GOOD}\n"), ("two.yaml", f"p:\n  same: {GOOD}\n  other: {GOOD}\n")])
    assert [str(problem) for problem in found.problems] == ["two.yaml:2:3: error: p/same is in one.yaml:2 already"]
    assert names(found) == ["p/same", "p/other"]


def test_a_pack_in_two_files_is_fine_while_its_rules_differ() -> None:
    found = read([("one.yaml", f"p:\n  a: {GOOD}\n"), ("two.yaml", f"p:\n  b: {GOOD}\n")])
    assert found.problems == ()
    assert names(found) == ["p/a", "p/b"]


def test_a_pack_twice_in_a_file_is_told_and_its_rules_go_on() -> None:
    text, places = marked(f"p:\n  a: {GOOD}\n▲p:\n  b: {GOOD}\n")
    found = read([("one.yaml", text)])
    assert [(problem.line, problem.column, problem.text) for problem in found.problems] == [(*places[0], "p is given twice")]
    assert names(found) == ["p/a", "p/b"]


def test_a_rule_whose_inhibitor_is_wrong_goes_on_without_it() -> None:
    found = read(
        [("a.yaml", f"p:\n  bad: {{severity: high}}\n  good: {GOOD.replace('}', ', inhibited_by: [bad]}')}\n")],
    )
    assert names(found) == ["p/good"]
    assert found.rules[0].inhibited_by == ()


def test_an_inhibitor_in_a_file_that_cannot_be_read_is_no_error_of_the_rule_that_names_it() -> None:
    found = read([("bad.yaml", "\tx"), ("good.yaml", f"p:\n  good: {GOOD.replace('}', ', inhibited_by: [other]}')}\n")])
    assert [problem.file for problem in found.problems] == ["bad.yaml"]
    assert names(found) == ["p/good"]


def test_all_errors_of_all_files_are_told_in_order() -> None:
    bad = "p:\n  b: {severity: x}\n  a: {condition: x > 0, severity: high}\n"
    found = read([("2.yaml", bad), ("1.yaml", bad.replace("p:", "q:"))])
    assert [(problem.file, problem.line) for problem in found.problems] == [
        ("1.yaml", 2), ("1.yaml", 2), ("1.yaml", 3), ("2.yaml", 2), ("2.yaml", 2), ("2.yaml", 3),
    ]  # fmt: skip


def test_the_version_changes_with_what_a_rule_says_and_not_with_its_layout() -> None:
    def version(text: str) -> str:
        return read([("a.yaml", f"p:\n  r: {text}\n")]).rules[0].version

    same = version('{severity: "high", condition: "security_violations > 0"}')
    assert same == version(GOOD)
    assert same != version(GOOD.replace("> 0", "> 1"))
    assert same != version(GOOD.replace("high", "low"))


# --- folders and files ------------------------------------------------------------------------------------------------


def test_of_a_folder_only_its_yaml_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"p:\n  a: {GOOD}\n")
    for other in ("b.yml", "README.md", ".hidden.yaml", "c.yaml.bak"):
        (tmp_path / other).write_text("nonsense")
    (tmp_path / "folder.yaml").mkdir()
    found = load([tmp_path])
    assert names(found) == ["p/a"] and found.problems == ()


def test_a_file_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(f"p:\n  a: {GOOD}\n")
    assert load([tmp_path, file, tmp_path / "." / "a.yaml"]).problems == ()


def test_a_path_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=r"no\.yaml: No such file"):
        load([tmp_path / "no.yaml"])
    with pytest.raises(Unreadable, match="no rule packs"):
        load([tmp_path])


def test_a_file_of_a_folder_that_cannot_be_read_does_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"p:\n  a: {GOOD}\n")
    (tmp_path / "b.yaml").symlink_to(tmp_path / "nowhere")
    found = load([tmp_path])
    assert names(found) == ["p/a"]
    assert [problem.text for problem in found.problems] == ["cannot be read: No such file or directory"]


def test_the_shipped_packs_are_read_from_their_folder() -> None:
    assert names(load([PACKS])) == names(load())


# --- whatever is in a file --------------------------------------------------------------------------------------------

_WORDS = st.sampled_from(
    [*KEYS, "p", "payment_failure_rate > 5% for 5 minutes", "security_violations", "> 0", "high", "critical", "email", "x",
     "&a", "*a", "<<", "!!int", "!!float", "!!bool", "!!timestamp", "!!binary", "!!python/object:os.system", "!x", "~", "''",
     '""', '"\\', "|", ">-", "5:00", "0x", "1e999", ".nan", "2020-01-01"]
)  # fmt: skip
_MARKS = st.sampled_from([": ", "\n", "\n  ", "\n    ", "- ", "{", "}", "[", "]", ", ", '"', "'", "\t", "\r"])
_YAML = st.lists(st.one_of(_WORDS, _MARKS, st.text(max_size=3)), max_size=40).map("".join)


@settings(max_examples=300, deadline=None)
@given(_YAML)
def test_the_loader_answers_whatever_the_text_is(text: str) -> None:
    found = read([("a.yaml", text)], signals=[("signals.yaml", text)])
    assert all(problem.line >= 1 and problem.column >= 1 and str(problem) for problem in found.problems)


_SCALARS = st.one_of(_WORDS, st.text(max_size=20), st.integers(), st.floats(), st.booleans(), st.none(), st.dates())


_FILTERS = st.sampled_from(["provider", "outcome", "host", "x"])
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_FILTERS, inner, max_size=3), max_leaves=5
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), _VALUES))
def test_the_loader_answers_whatever_the_values_are(rule: dict[str, object]) -> None:
    text = yaml.safe_dump({"p": {"r": rule, "good": {"condition": "security_violations > 0", "severity": "high"}}})
    found = read([("a.yaml", text)])
    assert "p/good" in names(found)
    assert ("p/r" in names(found)) == (not found.problems)


@given(st.binary(max_size=60))
def test_the_loader_answers_whatever_the_bytes_are(content: bytes) -> None:
    assert not read([("a.yaml", content)]).rules
