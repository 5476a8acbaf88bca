"""The tables of teams.toml, and that adding a channel is the six steps that the documentation says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from notifier.channels import email, outbox, phone, sms
from notifier.channels.registry import KINDS, ChannelsError, channels_of, tables_of
from notifier.channels.settings import Around, Table
from schemas.severity import CHANNELS

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs/channels.md").read_text()
SECTIONS = dict(re.findall(r"^## `([a-z-]+)`.*?\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
ROW = re.compile(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", re.MULTILINE)

SMS = {"kind": "twilio-sms", "account": "AC" + "0" * 32, "auth_token": SecretStr("t"), "sender": "+12025550100"}


class TestTables:
    def test_without_any_every_channel_is_an_outbox_that_looks_like_it(self, tmp_path: Path) -> None:
        tables = tables_of({})
        assert set(tables) == {*CHANNELS, "outbox"} and {table.kind for table in tables.values()} == {"outbox"}
        assert all(isinstance(tables[name], outbox.Settings) and tables[name].shows == name for name in CHANNELS)
        assert set(channels_of({}, Around(outbox=tmp_path))) == set(tables)

    def test_an_outbox_is_always_there_for_the_last_resort(self) -> None:
        channels = channels_of({"sms": SMS, "phone": {**SMS, "kind": "twilio-voice"}})
        assert isinstance(channels["sms"], sms.Sms) and isinstance(channels["phone"], phone.Phone)
        assert isinstance(channels["outbox"], outbox.Outbox) and channels["outbox"].name == "outbox"

    def test_a_table_with_the_name_of_a_kind_is_of_it(self) -> None:
        keys = {key: value for key, value in SMS.items() if key != "kind"}
        mail = {"host": "mail.example", "sender": "tillwatch@shop.example"}
        channels = channels_of({"sms": keys, "phone": keys, "email": mail})
        assert isinstance(channels["sms"], sms.Sms) and isinstance(channels["phone"], phone.Phone)
        assert isinstance(channels["email"], email.Email)

    def test_any_key_may_come_as_a_secret(self) -> None:
        hidden = {key: SecretStr(value) if isinstance(value, str) else value for key, value in SMS.items()}
        table = tables_of({"sms": {**hidden, "kind": "twilio-sms", "to": SecretStr("+27821234567")}})["sms"]
        assert isinstance(table, sms.Settings) and table.sender == "+12025550100"
        assert table.address == "+27821234567" and "+2782" not in repr(table)

    def test_every_fault_is_told_with_table_and_key_and_without_values(self) -> None:
        config: dict[str, dict[str, Any]] = {
            "sms": {**SMS, "account": "hunter2", "colour": "red", "timeout": "10"},
            "mail": {"kind": "email", "sender": "tillwatch@shop.example", "fallback": "fax"},
            "pigeon": {"to": "loft"},
            "hook": {"kind": "webhook", "secret": SecretStr("hunter2")},
            "late": {"kind": "outbox", "fallback": "fax"},
        }
        with pytest.raises(ChannelsError) as told:
            channels_of(config)
        lines = str(told.value).splitlines()
        assert [line.partition(":")[0] for line in lines] == [
            "[channels.sms] timeout",
            "[channels.sms] account",
            "[channels.sms] colour",
            "[channels.mail] host",
            "[channels.pigeon] kind",
            "[channels.hook] secret",
            "[channels.late] fallback",
        ]
        assert "hunter2" not in str(told.value) and "it is missing" in lines[3] and "30s" in lines[0]

    def test_proof_is_not_waited_for_where_nobody_could_hear_it(self) -> None:
        config = {"sms": {**SMS, "confirm": "60s"}}
        with pytest.raises(ChannelsError, match=r"\[channels.sms\] confirm: nothing can be heard"):
            channels_of(config)
        assert channels_of(config, Around(callbacks="https://pages.example"))


class TestSixSteps:
    """Each step is checked for each kind; docs/channels.md says them."""

    def test_the_page_says_six_steps(self) -> None:
        steps = PAGE.partition("## To add a channel")[2]
        assert re.findall(r"^(\d)\. ", steps, re.MULTILINE) == list("123456")

    @pytest.mark.parametrize("kind", KINDS)
    def test_one_and_two_a_file_with_its_settings_and_its_channel(self, kind: str) -> None:
        made, settings = KINDS[kind].make, KINDS[kind].settings
        assert issubclass(settings, Table) and settings.__module__ == made.__module__  # type: ignore[attr-defined]
        assert settings.__module__.startswith("notifier.channels.")
        assert {"send", "close"} <= set(dir(made))

    def test_three_the_registry_has_one_line_for_it(self) -> None:
        lines = (ROOT / "notifier/channels/registry.py").read_text().splitlines()
        assert {kind: sum(f'"{kind}": Kind(' in line for line in lines) for kind in KINDS} == dict.fromkeys(KINDS, 1)

    @pytest.mark.parametrize("kind", KINDS)
    def test_four_a_contract_test_that_names_its_source(self, kind: str) -> None:
        module = KINDS[kind].settings.__module__.rpartition(".")[2]
        tests = {path: path.read_text() for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__)}
        using = [text for text in tests.values() if re.search(rf"import .*\b{module}\b|channels\.{module} import", text)]
        assert any(re.search(r"https://|RFC \d", text.partition('"""\n')[0]) or kind == "outbox" for text in using)

    @pytest.mark.parametrize("kind", KINDS)
    def test_five_a_section_with_every_setting_and_an_example_that_loads(self, kind: str) -> None:
        section = SECTIONS[kind]
        settings = KINDS[kind].settings
        own = {name for name in settings.model_fields if name not in Table.model_fields}
        rows = {name: (default, words) for name, default, words in ROW.findall(section)}
        assert set(rows) == own
        for name, (default, words) in rows.items():
            field = settings.model_fields[name]
            assert words == field.description, f"{kind}.{name}"
            assert default == ("" if field.is_required() else _shown(field.default)), f"{kind}.{name}"
        (example,) = re.findall(r"```toml\n(.*?)```", section, re.DOTALL)
        tables = tables_of({name: _with_secrets(table) for name, table in tomllib.loads(example)["channels"].items()})
        assert kind in {table.kind for table in tables.values()}

    def test_six_the_common_keys_are_documented_once(self) -> None:
        common = PAGE.partition("## Keys of every table")[2].partition("\n## ")[0]
        rows = {name: (default, words) for name, default, words in ROW.findall(common)}
        assert {name: rows[name][1] for name in rows} == {
            name: field.description for name, field in Table.model_fields.items()
        }
        assert set(SECTIONS) == set(KINDS)


def _shown(value: object) -> str:
    if value is None or value == ():
        return "none"
    return f"`{value}`"


def _with_secrets(table: dict[str, Any]) -> dict[str, Any]:
    """The table as it comes from the directory: `x_env` and `x_file` are secrets called x."""
    secrets = {"secret": "whsec_" + "A" * 32}
    return {
        re.sub("_(env|file)$", "", key): SecretStr(secrets.get(key.rpartition("_")[0], "of-a-test"))
        if re.search("_(env|file)$", key)
        else value
        for key, value in table.items()
    }
