"""What is installed is what is declared, pinned, documented and packed."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import pytest
import yaml

from runtime.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("runtime", "schemas", "rollups", "rules", "agents", "notifier", "console", "local", "cli")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = ("requirements.txt", "requirements-dev.txt", "bench/requirements.txt")


def normal(name: str) -> str:
    """A package's name as registries compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def names(requirements: list[str]) -> set[str]:
    return {normal(match[0]) for one in requirements if (match := re.match(r"[\w.-]+", one))}


def pinned(lock: str) -> dict[str, str]:
    found = re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / lock).read_text(), re.MULTILINE)
    return {normal(name): pin for name, pin in found}


PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


def clean_environment(**more: str) -> dict[str, str]:
    """Ours without settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TILLWATCH_")} | more


RUN = names(PROJECT["project"]["dependencies"])
BUILD = names(PROJECT["dependency-groups"]["build"])
DEV = names(PROJECT["dependency-groups"]["dev"])
BENCH = names(PROJECT["dependency-groups"]["bench"])


# --- locks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_every_package_with_hashes_and_says_nothing_else(lock: str) -> None:
    package = r"[\w.-]+==[^\s;]+(?: ; [^\\\n]+)? \\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+"
    assert re.fullmatch(rf"(?:{package})+", (ROOT / lock).read_text())


def test_what_is_asked_for_is_pinned() -> None:
    assert pinned("requirements.txt").keys() >= RUN | BUILD
    assert pinned("requirements-dev.txt").keys() >= RUN | BUILD | DEV
    assert pinned("bench/requirements.txt").keys() >= BENCH


def test_both_locks_pin_the_same_versions() -> None:
    assert pinned("requirements-dev.txt").items() >= pinned("requirements.txt").items()


def test_the_versions_that_faust_can_live_with() -> None:
    pins = pinned("requirements.txt")
    assert pins["faust-streaming"] == "0.15.3"
    assert pins["aiokafka"].startswith("0.14.")
    assert tuple(map(int, pins["click"].split(".")[:2])) < (8, 4)


def test_the_installed_versions_are_the_pinned_ones() -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "list", "--format=freeze", "--disable-pip-version-check"],
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    installed = {normal(name): have for name, _, have in (line.partition("==") for line in listed.splitlines())}
    pins = pinned("requirements-dev.txt")
    assert {name: have for name, have in installed.items() if name in RUN and pins[name] != have} == {}


# --- documented and used ----------------------------------------------------------------------------------------------


def test_every_dependency_is_documented_once() -> None:
    rows = re.findall(
        r"^\| `([\w.-]+)` \| .+ \| .+ \| .+ \|$", (ROOT / "docs/dependencies.md").read_text(), re.MULTILINE
    )
    assert sorted(map(normal, rows)) == sorted(RUN | BUILD | DEV | BENCH)


def test_every_import_is_of_a_declared_package() -> None:
    provided_by = packages_distributions()
    undeclared = set()
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            for name in _imported(path) - set(sys.stdlib_module_names) - set(ROOMS):
                if not {normal(one) for one in provided_by.get(name, [name])} & RUN:
                    undeclared.add((name, str(path.relative_to(ROOT))))
    assert not undeclared, "packages that come only by way of others; declare them in pyproject.toml"


def _imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


# --- the package ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that is built from what is tracked, and from nothing that merely lies around."""
    if int(version("setuptools").partition(".")[0]) < 80:
        pytest.skip("needs the setuptools of the lock: run it by 'make test'")
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in _tracked(*ROOMS, "pyproject.toml", "README.md", "LICENSE"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    built = subprocess.run(
        [*PIP, "wheel", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source)],
        capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout + built.stderr
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_holds_every_module_and_data_file(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
        (entry_points,) = [name for name in packed if name.endswith("entry_points.txt")]
        assert "tillwatch = cli.app:main" in archive.read(entry_points).decode()
    assert set(_tracked(*ROOMS)) - packed == set()
    assert packed >= {"rules/grammar.lark", "rules/signals.yaml", "rules/packs/payment_alerts.yaml"}
    assert {name.partition("/")[0] for name in packed if ".dist-info/" not in name} <= set(ROOMS), "only the rooms"


def test_what_is_installed_from_it_works_far_from_this_folder(wheel: Path, tmp_path: Path) -> None:
    """Its modules are found before those of this checkout, and its data files are there."""
    target = tmp_path / "installed"
    subprocess.run(
        [*PIP, "install", "--no-index", "--no-deps", "--target", str(target), str(wheel)], timeout=110, check=True
    )
    script = (target / "bin/tillwatch").read_text()
    assert "from cli.app import main" in script
    run = "import cli, sys; print(cli.__file__); sys.argv = ['tillwatch', *sys.argv[1:]]; from cli.app import main; main()"
    for words, expected in ((["--help"], "Usage: tillwatch"), (["rules", "explain"], "payment_processing_failure")):
        done = subprocess.run(
            [sys.executable, "-P", "-c", run, *words],
            cwd=tmp_path, env=clean_environment(PYTHONPATH=str(target)),
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(str(target))
        assert expected in done.stdout


def _tracked(*below: str) -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *below],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


# --- containers -------------------------------------------------------------------------------------------------------

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
CONTAINERFILE = (ROOT / "deploy/Containerfile").read_text()
SETTINGS = {f"TILLWATCH_{name.upper()}" for name in Settings.model_fields}


def test_compose_sets_only_settings_that_exist() -> None:
    used = {name for service in COMPOSE["services"].values() for name in service.get("environment", {})}
    assert {name for name in used if name.startswith("TILLWATCH_")} - SETTINGS == set()
    assert used >= {"TILLWATCH_KAFKA", "TILLWATCH_REDIS"}
    assert set(re.findall(r"\b(TILLWATCH_[A-Z_]+)=", CONTAINERFILE)) <= SETTINGS


def test_every_image_is_pinned() -> None:
    images = {service["image"] for service in COMPOSE["services"].values()} - {"tillwatch:local"}
    images |= set(re.findall(r"^FROM (\S+)", CONTAINERFILE, re.MULTILINE))
    for image in images:
        _, _, tag = image.partition(":")
        assert re.match(r"\d+\.\d+", tag), f"{image}: pin a version"


def test_compose_names_services_and_volumes_that_exist() -> None:
    services = COMPOSE["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
        for needed, how in service.get("depends_on", {}).items():
            assert how["condition"] != "service_healthy" or "healthcheck" in services[needed], (
                f"{name} waits for {needed}"
            )
        for volume in service.get("volumes", []):
            assert volume.partition(":")[0] in COMPOSE["volumes"], name


def test_the_store_of_compose_keeps_what_it_was_given() -> None:
    command = COMPOSE["services"]["store"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--maxmemory-policy"] == "noeviction"
    assert options["--appendonly"] == "yes"


def test_compose_opens_nothing_to_the_network() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_console_of_compose_wants_a_token_that_is_not_in_the_file() -> None:
    """It listens for the other side of the container, so it would not start without one; compose says so first."""
    service = COMPOSE["services"]["console"]
    host, _, port = service["environment"]["TILLWATCH_CONSOLE"].partition(":")
    assert host == "0.0.0.0" and service["ports"] == [f"127.0.0.1:{port}:{port}"]
    wanted = re.fullmatch(r"\$\{(\w+):\?([^{}$]+)\}", service["environment"]["TILLWATCH_CONSOLE_TOKEN"])
    assert wanted is not None and wanted[1] == "TILLWATCH_CONSOLE_TOKEN"
    assert "at least 16 random characters" in wanted[2]


def test_compose_runs_commands_that_exist() -> None:
    import typer.main

    from cli.app import app

    group = typer.main.get_command(app)
    for service in COMPOSE["services"].values():
        if service["image"] == "tillwatch:local":
            _resolve(group, service["command"])
            check = service.get("healthcheck", {}).get("test", ["CMD", "tillwatch", "status"])
            assert check[:2] == ["CMD", "tillwatch"]
            _resolve(group, check[2:])


def _resolve(command: Any, words: list[str]) -> None:
    for word in words:
        if word.startswith("-"):
            options = {option for parameter in command.params for option in parameter.opts}
            assert word in options, f"{command.name} has no option {word}"
        elif hasattr(command, "commands"):
            assert word in command.commands, f"no command {word}"
            command = command.commands[word]


def test_the_image_copies_every_room_and_drops_root() -> None:
    copied = set(re.findall(r"^COPY (\w+) \1$", CONTAINERFILE, re.MULTILINE))
    assert copied == set(ROOMS)
    last_stage = CONTAINERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER (?!root|0\b)", last_stage, re.MULTILINE)
    assert "--require-hashes" in CONTAINERFILE


def test_every_path_that_the_image_copies_exists() -> None:
    copied = [words.split() for words in re.findall(r"^COPY (?!--from)(.+)$", CONTAINERFILE, re.MULTILINE)]
    sources = [source for *some, _ in copied for source in some]
    assert len(sources) >= 4 + len(ROOMS)
    assert [source for source in sources if not (ROOT / source).exists()] == []


def test_what_the_image_needs_is_not_kept_from_it() -> None:
    kept_out = (ROOT / "deploy/Containerfile.dockerignore").read_text().split()
    assert not set(ROOMS) & set(kept_out)
    assert {"tests", ".git", ".venv", "tillwatch-data"} <= set(kept_out)


def test_compose_builds_from_the_container_file() -> None:
    for service in COMPOSE["services"].values():
        if service["image"] == "tillwatch:local":
            assert (ROOT / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        assert service.get("restart"), "what ends is started again"


def _docker() -> str | None:
    """Why Docker cannot be used, None where it can."""
    if shutil.which("docker") is None:
        return "needs Docker: no docker here"
    asked = subprocess.run(["docker", "info"], capture_output=True, text=True, timeout=30, check=False)
    return None if asked.returncode == 0 else "needs Docker: its daemon does not answer"


@pytest.mark.timeout(900)
def test_the_image_is_built_and_runs() -> None:
    why = _docker()
    if why is not None:
        pytest.skip(why)
    tag = "tillwatch:test"
    build = ["docker", "build", "--quiet", "-f", "deploy/Containerfile", "-t", tag, "."]
    subprocess.run(build, cwd=ROOT, timeout=800, check=True)
    try:
        done = subprocess.run(
            ["docker", "run", "--rm", "--network", "none", tag, "rules", "explain", "payment_processing_failure"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "payment_processing_failure" in done.stdout
        parsed = ["docker", "compose", "-f", "docker-compose.yml", "config", "--quiet"]
        token = {"TILLWATCH_CONSOLE_TOKEN": "0123456789abcdef"}
        subprocess.run(parsed, cwd=ROOT, env=os.environ | token, timeout=60, check=True)
        without = subprocess.run(parsed, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert without.returncode != 0 and "the console wants one" in without.stderr
    finally:
        subprocess.run(["docker", "image", "rm", tag], capture_output=True, timeout=60, check=False)


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_pictures_of_the_readme_exist_and_load_nothing() -> None:
    shown = re.findall(r"!\[[^\]]{40,}\]\(([^)]+)\)", (ROOT / "README.md").read_text())
    assert {"docs/img/flow.svg", "docs/img/demo.svg"} <= set(shown)
    for path in shown:
        if path.endswith(".png"):
            assert (ROOT / path).read_bytes().startswith(b"\x89PNG"), path
            continue
        text = (ROOT / path).read_text()
        assert text.lstrip().startswith("<svg")
        assert not re.search(r"@font-face|@import|url\(\s*[\"']?http|(?:href|src)=[\"']http|<script", text), path


def test_the_picture_of_the_demonstration_tells_the_whole_story() -> None:
    text = re.sub(r"<[^>]+>", "", (ROOT / "docs/img/demo.svg").read_text()).replace("&#160;", " ")
    for words in ("make demo", "outage begins", "detected after", "outage is over", "resolved: provider_down"):
        assert words in text, words
