"""`tillwatch setup alerts`, `rules lint` and `rules explain`: rule packs as files."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from cli import installation
from cli.terminal import FAILED, USAGE, counted, fail, note, print_json, say

if TYPE_CHECKING:
    from rules.loader import RuleSet
    from rules.rule import Rule
    from runtime.settings import Settings


def rule_set(settings: Settings) -> RuleSet:
    """The rules that the settings name; what is wrong with others is told on stderr, and they are left out."""
    found = _load(None if settings.rules is None else [settings.rules], settings.bucket_ms)
    for problem in found.problems:
        note(str(problem), style="yellow")
    return found


def lint(paths: Iterable[Path]) -> int:
    """Prints every error of every file."""
    found = _load(list(paths), installation.settings().bucket_ms)
    for problem in found.problems:
        say(str(problem))
    fine = counted(len(found.rules), "rule")
    if found.problems:
        verb = "is" if len(found.rules) == 1 else "are"
        note(f"{counted(len(found.problems), 'error')}; {fine} {verb} fine", style="red")
        return FAILED
    note(f"{fine}, no errors", style="green")
    return 0


def explain(name: str | None, as_json: bool) -> int:
    """Prints what the rules mean: of a rule, of a pack, or all."""
    from rules.words import definition, ends
    from rules.words import explain as sentence
    from runtime.suggest import nearest

    found = rule_set(installation.settings())
    wanted = [rule for rule in found.rules if name is None or name in (rule.name, rule.pack, f"{rule.pack}/{rule.name}")]
    if not wanted:
        near = nearest(name or "", [*(rule.name for rule in found.rules), *(rule.pack for rule in found.rules)])
        fail(f"no rule or pack {name!r}" + (f" (did you mean {near}?)" if near else ""), USAGE)
    if as_json:
        print_json([_as_json(rule, sentence(rule), ends(rule)) for rule in wanted])
        return 0
    for rule in wanted:
        say(f"{rule.pack}/{rule.name}", style="bold")
        say(f"  {sentence(rule)}")
        say(f"  {ends(rule)}")
        for signal in dict.fromkeys(part.signal for part in rule.parts):
            say(f"  {signal.name}: {definition(signal)}.")
        if rule.inhibited_by:
            say(f"  Pages nobody while {' or '.join('/'.join(one) for one in rule.inhibited_by)} fires.")
        say(f"  Tells: {', '.join(rule.channels)}.")
    return 0


def _as_json(rule: Rule, sentence: str, ends: str) -> dict[str, object]:
    return {
        "pack": rule.pack,
        "rule": rule.name,
        "version": rule.version,
        "severity": rule.severity,
        "condition": str(rule.condition),
        "by": list(rule.by),
        "channels": list(rule.channels),
        "explanation": sentence,
        "resolves": ends,
        "baseline": rule.baselined,
        "enabled": rule.enabled,
    }


def set_up(directory: Path | None, force: bool) -> int:
    """Copies the shipped packs and checks all packs in the folder."""
    from rules.loader import PACKS

    settings = installation.settings()
    folder = directory or settings.rules
    if folder is None:
        fail("into which folder? Name one, or set TILLWATCH_RULES", USAGE)
    if folder.exists() and not folder.is_dir():
        fail(f"{folder} is not a folder", USAGE)
    folder.mkdir(parents=True, exist_ok=True)
    for pack in sorted(PACKS.glob("*.yaml")):
        say(_copy(pack, folder / pack.name, force))
    if settings.rules is None or settings.rules.resolve() != folder.resolve():
        note(f"workers use this folder once TILLWATCH_RULES={folder} is set")
    return lint([folder])


def _copy(pack: Path, target: Path, force: bool) -> str:
    """Copies a pack unless it was changed, and tells what was done."""
    done = "written"
    if target.exists():
        if target.read_bytes() == pack.read_bytes():
            return f"same     {target}"
        if not force:
            return f"kept     {target} (not what ships; --force replaces it)"
        done = "replaced"
    shutil.copyfile(pack, target)
    return f"{done:8} {target}"


def _load(paths: list[Path] | None, bucket_ms: int) -> RuleSet:
    from rules.loader import Unreadable, load

    try:
        return load(paths, bucket_ms)
    except Unreadable as error:
        fail(str(error), USAGE)
