"""The settings file, and what is said about settings that cannot work."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cli import checks, installation
from cli.template import default, duration, toml, values
from runtime.settings import Settings, duration_s, load_settings
from tests.cli.conftest import Run


def test_init_writes_every_setting_and_changes_none(run: Run, folder: Path) -> None:
    before = load_settings()
    assert run("init").exit_code == 0
    text = (folder / "tillwatch.toml").read_text()
    for name, field in Settings.model_fields.items():
        assert f"# {name} = " in text
        assert str(field.description) in text
    assert load_settings() == before


def test_every_line_of_the_file_can_be_put_in_force_as_it_stands(folder: Path) -> None:
    text = toml({})
    commented = [line[2:] for line in text.splitlines() if line.startswith("# ") and ' = "' in line]
    (folder / "tillwatch.toml").write_text("\n".join(commented))
    assert len(commented) == len(Settings.model_fields)
    settings = load_settings()
    for name, field in Settings.model_fields.items():
        if default(name, field) is not None:
            assert getattr(settings, name) == field.default


def test_init_does_not_replace_a_file_unless_told_to(run: Run, folder: Path) -> None:
    path = folder / "tillwatch.toml"
    path.write_text('namespace = "mine"\n')
    refused = run("init")
    assert refused.exit_code == 1
    assert "--force" in refused.stderr
    assert path.read_text() == 'namespace = "mine"\n'
    assert run("init", "--force").exit_code == 0
    assert "# namespace = " in path.read_text()


@given(
    st.dictionaries(
        st.sampled_from(["namespace", "kafka", "redis"]), st.text(st.characters(codec="utf-8"), max_size=30)
    )
)
@example({"namespace": "\U000e0001 \uffff \U0010ffff \x7f \u2028", "redis": '\\ " \n'})
def test_what_is_written_is_read_again(held: dict[str, str]) -> None:
    assert values(toml(held)) == held
    assert tomllib.loads(toml(held)) == held


@given(st.integers(min_value=1, max_value=10**10))
def test_a_duration_is_read_as_it_was_meant(ms: int) -> None:
    assert duration_s(duration(ms / 1000)) == pytest.approx(ms / 1000)


def test_a_mistyped_variable_is_found_and_the_right_one_named() -> None:
    [finding] = checks.of_environment({"TILLWATCH_KAFAK": "k:9092", "TILLWATCH_REDIS": "redis://r", "PATH": "/bin"})
    assert finding.what == "TILLWATCH_KAFAK"
    assert "TILLWATCH_KAFKA" in finding.text


def test_a_variable_in_small_letters_is_a_setting_too() -> None:
    assert checks.of_environment({"TILLWATCH_kafka": "k:9092"}) == []


def test_a_clock_far_ahead_is_wrong(folder: Path) -> None:
    (folder / "clock").write_text("99999999999")
    findings = checks.of_machine(load_settings(clock="file:clock"))
    assert ("TILLWATCH_CLOCK", checks.WRONG) in [(one.what, one.state) for one in findings]


def test_a_short_mask_key_is_wrong_and_is_not_shown() -> None:
    findings = checks.of_machine(load_settings(mask_key="hunter2"))
    assert ("TILLWATCH_MASK_KEY", checks.WRONG) in [(one.what, one.state) for one in findings]
    assert "hunter2" not in str(findings)


def test_check_says_what_is_wrong_and_where_it_is_set(run: Run, folder: Path) -> None:
    (folder / "tillwatch.toml").write_text('lateness = "soon"\n')
    done = run("configure", "--check", TILLWATCH_FLUSH="1")
    assert done.exit_code == 1
    assert "TILLWATCH_LATENESS" in done.stdout and "(set in tillwatch.toml)" in done.stdout
    assert "TILLWATCH_FLUSH" in done.stdout and "(set in environment)" in done.stdout


def test_check_of_servers_that_are_away_says_so_for_each(run: Run) -> None:
    done = run(
        "configure", "--check", "--json", TILLWATCH_KAFKA="127.0.0.1:1", TILLWATCH_REDIS="redis://:pw@127.0.0.1:1"
    )
    assert done.exit_code == 1
    wrong = {one["what"] for one in json.loads(done.stdout) if one["state"] == "wrong"}
    assert {"TILLWATCH_KAFKA", "TILLWATCH_REDIS"} <= wrong
    assert ":pw@" not in done.stdout


def test_with_nothing_set_nothing_is_wrong(run: Run) -> None:
    done = run("configure", "--check")
    assert done.exit_code == 0, done.output


def test_configure_asks_keeps_and_writes(run: Run, folder: Path) -> None:
    done = run("configure", stdin="\n\nmy shop\nshop\n\n")
    assert "TILLWATCH_NAMESPACE" in done.stdout  # the blank in it was refused, and asked again
    assert done.exit_code == 0, done.output
    assert values((folder / "tillwatch.toml").read_text()) == {"namespace": "shop"}
    again = run("configure", stdin="\n\n\n\ny\n")
    assert again.exit_code == 0, again.output
    assert load_settings().namespace == "shop"


def test_configure_leaves_the_file_where_replacing_is_declined(run: Run, folder: Path) -> None:
    (folder / "tillwatch.toml").write_text('# mine\nnamespace = "shop"\n')
    assert run("configure", stdin="\n\n-\n\nn\n").exit_code == 1
    assert (folder / "tillwatch.toml").read_text().startswith("# mine")


@pytest.mark.parametrize("url", ["https://switch.example/ping/a-secret", "http://127.0.0.1:8000/ping", "http://[::1]/ping"])
def test_a_dead_mans_switch_is_called_where_nobody_listens_on_the_way(url: str) -> None:
    found = load_settings(deadman=url).deadman
    assert found is not None and found.get_secret_value() == url


@pytest.mark.parametrize(
    "url", ["http://switch.example/ping/a-secret", "https://me:a-secret@switch.example/", "a-secret", "https://[a-secret", ""]
)
def test_a_dead_mans_switch_that_cannot_be_called_is_refused_and_not_shown(run: Run, url: str) -> None:
    done = run("configure", "--check", TILLWATCH_DEADMAN=url)
    assert done.exit_code == 1
    assert "TILLWATCH_DEADMAN" in done.stdout and "https://" in done.stdout
    assert "a-secret" not in done.output


def test_what_is_a_secret_is_masked_in_logs() -> None:
    found = load_settings(deadman="https://switch.example/x", mask_key="k" * 16, redis="redis://:pw-of-a-test@127.0.0.1")
    assert sorted(installation.secrets(found)) == ["https://switch.example/x", "k" * 16, "pw-of-a-test"]
