"""One instance a data folder, which other commands find while it really runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from local.broker import EmbeddedBroker
from local.instance import RECORD, Instance, InUse, Local, find, now, resolve
from local.store import EmbeddedStore
from runtime.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


def local(broker: EmbeddedBroker, store: EmbeddedStore) -> Local:
    return Local(broker.bootstrap, store.url, broker.cluster_id, {"broker": broker.pid, "store": store.pid}, now())


def test_two_in_one_folder_are_one_too_many(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(InUse, match=rf"in use by process {holder.pid}: stop that first"), Instance(tmp_path):
        raise AssertionError("it must not get here")
    holder.kill()
    holder.communicate()
    with Instance(tmp_path):  # the dead hold nothing
        pass


HOLDS = """
import sys
from pathlib import Path
from local.instance import Instance
with Instance(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.integration
def test_what_runs_is_found_and_what_is_gone_is_not(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    with Instance(tmp_path) as instance:
        with EmbeddedBroker(None, tmp_path) as broker, EmbeddedStore(None, tmp_path) as store:
            assert find(settings) is None
            instance.tell(local(broker, store))
            found = find(settings)
            assert found is not None
            assert (found.kafka, found.redis) == (broker.bootstrap, store.url)
            store.kill()
            assert find(settings) is None
            store.start()
            assert find(settings) is None  # another process than the one that was written down
        assert (tmp_path / RECORD).exists()
        assert find(settings) is None
    assert not (tmp_path / RECORD).exists()


@pytest.mark.integration
def test_only_what_is_not_set_is_filled_in(tmp_path: Path) -> None:
    with Instance(tmp_path) as instance, EmbeddedBroker(None, tmp_path) as broker, EmbeddedStore(None, tmp_path) as store:
        instance.tell(local(broker, store))
        found = resolve(Settings(data=tmp_path))
        assert found.kafka == broker.bootstrap
        assert found.redis is not None and found.redis.get_secret_value() == store.url
        mine = resolve(Settings(data=tmp_path, kafka="kafka-1:9092"))
        assert mine.kafka == "kafka-1:9092"
        assert mine.redis is not None and mine.redis.get_secret_value() == store.url


@pytest.mark.parametrize("text", ["", "{", "[]", '{"kafka": 1}', json.dumps({"kafka": "x:y", "redis": None})])
def test_a_record_that_makes_no_sense_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / RECORD).write_text(text)
    settings = Settings(data=tmp_path)
    assert find(settings) is None
    assert resolve(settings) is settings
