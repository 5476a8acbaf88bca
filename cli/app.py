"""The command tree. Each command imports what it needs when it runs, so that `tillwatch --help` is quick."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.acting import actions
from cli.admitting import console
from cli.answering import incidents, maintenance, silence
from cli.duration import seconds
from cli.errors import Commands
from cli.reporting import metrics, payment, report

app = typer.Typer(
    cls=Commands,
    name="tillwatch",
    help="Watches a payment integration: events in, windowed rollups, rules, alerts out.",
    epilog="Exit codes: 0 done, or the answer is yes; 1 it failed, or the answer is no; "
    "2 a command or setting that cannot be used. Settings: TILLWATCH_* in the environment over tillwatch.toml.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
setup = typer.Typer(no_args_is_help=True, help="Create what an installation needs: topics, rule packs, dashboards.")
tail = typer.Typer(no_args_is_help=True, help="Watch what comes out.")
rules = typer.Typer(no_args_is_help=True, help="Rules as code: check and explain them.")
app.add_typer(setup, name="setup", rich_help_panel="Settings")
app.add_typer(tail, name="tail", rich_help_panel="Look")
app.add_typer(rules, name="rules", rich_help_panel="Rules")
baseline = typer.Typer(no_args_is_help=True, help="What is usual: history for the rules that compare with it.")
app.add_typer(baseline, name="baseline", rich_help_panel="Rules")
oncall = typer.Typer()
app.add_typer(oncall, name="oncall", rich_help_panel="People")

app.command(rich_help_panel="Look", epilog="Example: tillwatch metrics --signal payment_success_rate --watch")(metrics)
app.command(rich_help_panel="Look", epilog="Example: tillwatch report weekly -o week.html")(report)
app.add_typer(payment, name="payment", rich_help_panel="Look")
app.add_typer(console, name="console", rich_help_panel="Run")
app.add_typer(incidents, name="incidents", rich_help_panel="Answer")
app.add_typer(silence, name="silence", rich_help_panel="Answer")
app.add_typer(maintenance, name="maintenance", rich_help_panel="Answer")
app.add_typer(actions, name="actions", rich_help_panel="Answer")

Json = Annotated[bool, typer.Option("--json", help="JSON on stdout, for programs.")]


def main() -> None:
    """The entry point of the `tillwatch` script."""
    logging.getLogger().addHandler(logging.NullHandler())  # what libraries have to say is the log's, where there is one
    app(prog_name="tillwatch")


# --- run --------------------------------------------------------------------------------------------------------------


@app.command(rich_help_panel="Run", epilog="Example: tillwatch up --workers 2")
def up(workers: Annotated[int, typer.Option(min=1, max=16, help="Worker processes.")] = 1) -> None:
    """Run everything on this machine: broker, store and workers, until Ctrl-C.

    Servers that TILLWATCH_KAFKA and TILLWATCH_REDIS name are used instead of the embedded ones. Other commands in the
    same folder find the embedded servers by themselves.
    """
    from cli.machine import up as run

    raise typer.Exit(run(workers))


@app.command(rich_help_panel="Run", epilog="Example: tillwatch demo --for 3m")
def demo(
    duration: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="DURATION",
            help="How long, such as 90s or 3m; until Ctrl-C unless said.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Worker processes.")] = 2,
) -> None:
    """Run everything with simulated traffic and an outage in it, and tell what happens.

    Always with embedded servers and on data of its own: what TILLWATCH_KAFKA and TILLWATCH_REDIS name is left alone. Exit
    code 1 when an outage was not detected.
    """
    for_s = None if duration is None else seconds(duration)
    from cli.machine import demo as run

    raise typer.Exit(run(for_s, workers))


@app.command(
    rich_help_panel="Run",
    epilog="Example: TILLWATCH_KAFKA=kafka-1:9092 TILLWATCH_REDIS=redis://redis-1 tillwatch worker",
)
def worker(
    only: Annotated[
        Literal["measure", "evaluate"] | None,
        typer.Option(help="Only fold events, or only merge and judge: each in a process of its own, on a core of its own."),
    ] = None,
    log_level: Annotated[str, typer.Option(metavar="LEVEL", help="debug, info, warning or error.")] = "info",
    json_logs: Annotated[bool, typer.Option("--json-logs", help="One JSON object a log line.")] = False,
) -> None:
    """Run one worker; several share the partitions between them.

    Prints one line, ready, to stdout once it has joined; logs go to stderr. SIGTERM: writes what is not written and
    exits with 0 within 10 s.
    """
    from cli.work import work

    work(log_level, json_logs, only)


@app.command(
    rich_help_panel="Run",
    epilog="Example: TILLWATCH_KAFKA=kafka-1:9092 TILLWATCH_REDIS=redis://redis-1 tillwatch notifier",
)
def notifier(
    log_level: Annotated[str, typer.Option(metavar="LEVEL", help="debug, info, warning or error.")] = "info",
    json_logs: Annotated[bool, typer.Option("--json-logs", help="One JSON object a log line.")] = False,
) -> None:
    """Run one notifier, which turns alerts into incidents and pages people; of several, one leads and others stand by.

    Prints one line, ready, to stdout once it has joined; logs go to stderr. SIGTERM: lets messages that are under way arrive,
    and exits with 0 within 10 s.
    """
    from cli.notify import notify

    notify(log_level, json_logs)


# --- settings ---------------------------------------------------------------------------------------------------------


@app.command(rich_help_panel="Settings", epilog="Example: tillwatch init")
def init(
    force: Annotated[bool, typer.Option("--force", help="Replace the file that is there.")] = False,
) -> None:
    """Write a commented tillwatch.toml, every setting with what it means and its default."""
    from cli.configure import init as run

    run(force)


@app.command(rich_help_panel="Settings", epilog="Example: tillwatch configure --check")
def configure(
    check: Annotated[
        bool, typer.Option("--check", help="Ask nothing; check what is set. Exit code 1 when something is wrong.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Ask for the settings, check them against the servers, and write tillwatch.toml."""
    from cli.configure import check as look
    from cli.configure import configure as run

    raise typer.Exit(look(as_json) if check or as_json else run())


@setup.command("topics", epilog="Example: tillwatch setup topics --partitions 16 --replication 3")
def setup_topics(
    partitions: Annotated[int, typer.Option(min=1, max=10_000, help="Partitions of the event topics.")] = 8,
    replication: Annotated[int, typer.Option(min=1, max=32, help="Copies of each partition.")] = 1,
) -> None:
    """Create the topics; what exists is kept, and gets more partitions where fewer than asked for."""
    from cli.topics import set_up

    set_up(partitions, replication)


@setup.command("alerts", epilog="Example: tillwatch setup alerts ./rules && TILLWATCH_RULES=./rules tillwatch worker")
def setup_alerts(
    directory: Annotated[
        Path | None, typer.Argument(help="The folder; TILLWATCH_RULES unless said.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace packs that were changed.")] = False,
) -> None:
    """Copy the shipped rule packs into a folder, to be changed there, and check all packs in it.

    A pack that was changed is kept. Exit code 1 when a pack has errors.
    """
    from cli.packs import set_up

    raise typer.Exit(set_up(directory, force))


@setup.command("dashboards", epilog="Example: tillwatch setup dashboards -o grafana/")
def setup_dashboards(
    directory: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FOLDER", help="grafana in the data folder unless said.", show_default=False
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace dashboards that were changed.")] = False,
) -> None:
    """Write Grafana dashboards over the console's /metrics: overview, payments, system, security, pipeline.

    A dashboard that was changed is kept.
    """
    from cli.dashboards import set_up

    raise typer.Exit(set_up(directory, force))


# --- events in, answers out -------------------------------------------------------------------------------------------


@app.command(
    rich_help_panel="Look",
    epilog="Example: tillwatch produce events.jsonl  |  zcat old.gz | tillwatch produce - --rate 500",
)
def produce(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="JSON lines, one CloudEvent each; - for stdin.", show_default=False)
    ],
    topic: Annotated[
        str | None, typer.Option(metavar="TOPIC", help="Send everything to this topic or subject.", show_default=False)
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Send the lines as they are, unseen, without a key; needs --topic.")
    ] = False,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="At most so many events a second.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Send events, each to the topic of its type.

    The envelope is looked at here, the rest by the worker, which sends what it cannot use to the dead letters. Exit
    code 1 when a line was refused or could not be sent; the others are sent.
    """
    from cli.produce import produce as run

    raise typer.Exit(run(file, topic=topic, raw=raw, rate=rate, as_json=as_json))


@tail.command("alerts", epilog="Example: tillwatch tail alerts --from-start --json --for 10s")
def tail_alerts(
    from_start: Annotated[bool, typer.Option("--from-start", help="Begin with the oldest alert that is kept.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The alert events as they are, one a line.")] = False,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many.", show_default=False)] = None,
    duration: Annotated[
        str | None,
        typer.Option("--for", metavar="DURATION", help="End after this time, such as 30s.", show_default=False),
    ] = None,
) -> None:
    """Watch alerts as they are sent, until Ctrl-C."""
    for_s = None if duration is None else seconds(duration)
    from cli.tail import alerts

    alerts(from_start=from_start, as_json=as_json, count=count, seconds=for_s)


@app.command(rich_help_panel="Look", epilog="Example: tillwatch deadletters --count 5")
def deadletters(
    count: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 20,
    as_json: Json = False,
) -> None:
    """Look at the latest events that could not be used, and why."""
    from cli.deadletters import show

    show(count, as_json)


@app.command(rich_help_panel="Look", epilog="Example: tillwatch status --json")
def status(as_json: Json = False) -> None:
    """Tell how things are: the verdict first, then every part.

    OK, BEHIND (verdicts or pages may be late), NO_DATA (a source is silent) or DOWN (no worker, or no notifier though one ran).
    Exit code 0 only when OK.
    """
    from cli.status import show

    raise typer.Exit(show(as_json))


@app.command(
    rich_help_panel="Look",
    epilog='Example: tillwatch query "select bucket, outcome, sum(count) from payments_1m group by all order by all"',
)
def query(
    sql: Annotated[
        str, typer.Argument(metavar="SQL", help="DuckDB SQL over <subject>_10s, _1m and _1h.", show_default=False)
    ],
    as_json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="CSV on stdout.")] = False,
    file: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Write it to a .csv, .parquet or .arrow file.", show_default=False),
    ] = None,
) -> None:
    """Ask the rollup tables in SQL. Exit code 2 on an error, which is told on stderr."""
    from cli.query import query as run

    raise typer.Exit(run(sql, as_json=as_json, as_csv=csv, file=file))


# --- rules ------------------------------------------------------------------------------------------------------------


@rules.command("lint", epilog="Example: tillwatch rules lint rules/")
def rules_lint(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Rule packs, or folders of them.", show_default=False)
    ],
) -> None:
    """Check rule packs: every error of every file, as file:line:column: error: what is wrong.

    Exit code 0 clean, 1 errors, 2 a path that cannot be read.
    """
    from cli.packs import lint

    raise typer.Exit(lint(paths))


@rules.command("test", epilog="Example: tillwatch rules test rules/")
def rules_test(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH]...",
            help="Folders, packs, or tests (<pack>.test.yaml); those of the rules in force unless said.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run the unit tests beside rule packs: traffic in a short notation, and what must be told of it, and when.

    Exit code 0 all pass, 1 some fail or have errors, 2 a path that cannot be read.
    """
    from cli.rules_test import test

    raise typer.Exit(test(paths or [], as_json))


@rules.command("explain", epilog="Example: tillwatch rules explain payment_processing_failure")
def rules_explain(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="A rule or a pack; all of them unless said.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say in a sentence what each rule means."""
    from cli.packs import explain

    raise typer.Exit(explain(name, as_json))


@rules.command("backtest", epilog="Example: tillwatch rules backtest payments.csv --below 50%")
def rules_backtest(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV: time,value[,label]; steps of 1 min to 1 h.", show_default=False)
    ],
    below: Annotated[str, typer.Option(metavar="SHARE", help="Page below this share of the baseline.")] = "50%",
    window: Annotated[str, typer.Option(metavar="DURATION", help="The window that is judged.")] = "15m",
    zone: Annotated[
        str | None, typer.Option(metavar="ZONE", help="Time zone; Africa/Johannesburg unless said.", show_default=False)
    ] = None,
    holidays: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Special days, a date a line, judged like Sundays.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell what a volume's learned baseline would have paged over a series in a file.

    Where rows are labelled (0 or 1), also how many of the labelled stretches it found and how many pages were false.
    """
    window_s = seconds(window)
    from cli.backtest import backtest

    raise typer.Exit(backtest(file, below=below, window_s=window_s, zone=zone, holidays=holidays, as_json=as_json))


@baseline.command(
    "import", epilog="Example: tillwatch baseline import ozow.csv --signal payment_volume --group provider=ozow"
)
def baseline_import(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV: time,value; even steps of 1 min to 1 h.", show_default=False)
    ],
    signal: Annotated[str, typer.Option(metavar="NAME", help="Whose history it is.", show_default=False)],
    group: Annotated[
        list[str] | None,
        typer.Option(metavar="K=V", help="Of which group; may be given several times.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Give a baseline history from a file, so that it need not be learned for a week.

    A value of a count is what its step held. It takes the place of what was imported for the same series before; what
    Tillwatch has counted itself goes before it. Workers may run meanwhile.
    """
    from cli.baseline import import_history

    raise typer.Exit(import_history(file, signal=signal, group=group or (), as_json=as_json))


# --- people -----------------------------------------------------------------------------------------------------------


@oncall.callback(invoke_without_command=True, epilog="Example: tillwatch oncall --team payments --at '2026-12-25 09:00'")
def oncall_now(
    context: typer.Context,
    team: Annotated[str | None, typer.Option(metavar="TEAM", help="This team only.", show_default=False)] = None,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="At this time instead of now.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell who is on call, by team and level, until when, and who is next."""
    if context.invoked_subcommand is not None:
        if team or at or as_json:
            raise typer.BadParameter("--team, --at and --json before a command say nothing to it")
        return
    from cli.oncall import show

    raise typer.Exit(show(team, at, as_json))


@app.command("test-alerts", rich_help_panel="People", epilog="Example: tillwatch test-alerts --channel sms")
def test_alerts(
    team: Annotated[
        str | None, typer.Option(metavar="TEAM", help="Who is on call for this team only.", show_default=False)
    ] = None,
    channel: Annotated[
        str | None, typer.Option(metavar="CHANNEL", help="This channel only.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Send a message that is marked as a test through every channel, to its own address and to everybody on call.

    Fallbacks are tried on their own. Needs neither Kafka nor Redis. Exit code 1 when a channel failed, or nobody can be reached
    by it.
    """
    from cli.trial import test_alerts as run

    raise typer.Exit(run(team, channel, as_json))


@oncall.command("gaps", epilog="Example: tillwatch oncall gaps --days 56")
def oncall_gaps(
    days: Annotated[int, typer.Option(min=1, max=366, help="How many days to look ahead.")] = 28,
    as_json: Json = False,
) -> None:
    """List the times ahead in which nobody is on call. Exit code 1 when a team's primary has some."""
    from cli.oncall import gaps

    raise typer.Exit(gaps(days, as_json))


@oncall.command("check", epilog="Example: tillwatch oncall check teams.toml")
def oncall_check(
    file: Annotated[
        Path | None, typer.Argument(help="The file; TILLWATCH_TEAMS unless said.", show_default=False)
    ] = None,
) -> None:
    """Check teams.toml: every error, as file:line: error: table and key: what was expected.

    What may not be meant is told on stderr. Exit code 0 no errors, 1 errors.
    """
    from cli.oncall import check

    raise typer.Exit(check(file))


@oncall.command("override", epilog="Example: tillwatch oncall override johan --team payments --for 8h")
def oncall_override(
    who: Annotated[str, typer.Argument(metavar="WHO", help="The key of a person.", show_default=False)],
    team: Annotated[
        str | None, typer.Option(metavar="TEAM", help="For this team, where there are several.", show_default=False)
    ] = None,
    level: Annotated[str, typer.Option(metavar="LEVEL", help="primary, secondary, lead or executive.")] = "primary",
    begin: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="From this time on instead of now.", show_default=False)
    ] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Until this time.", show_default=False)] = None,
    duration: Annotated[
        str | None,
        typer.Option("--for", metavar="DURATION", help="For this long, such as 8h or 2d.", show_default=False),
    ] = None,
) -> None:
    """Put somebody on call for a while, whatever the rota says: adds it at the end of teams.toml."""
    for_s = None if duration is None else seconds(duration)
    from cli.oncall import override

    raise typer.Exit(override(who, team, level, begin, end, for_s))
