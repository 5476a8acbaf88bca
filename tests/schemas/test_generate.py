"""The documents that others read are those of the models."""

import json
import re

from schemas.events import DATA_OF, EVERYWHERE, SUBJECT_OF
from schemas.generate import (
    ALERT,
    ASYNCAPI,
    FOLDER,
    INCIDENT,
    KEPT,
    PARTIAL,
    SILENCE,
    differences,
    documents,
    main,
    write,
)
from schemas.tables import fields_of


def test_what_is_in_the_repository_is_up_to_date():
    assert differences() == []
    assert main(["--check"]) == 0


def test_a_difference_is_shown_and_mended(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("schemas.generate.differences", lambda: differences(tmp_path))
    write(tmp_path)
    assert main(["--check"]) == 0
    broken = tmp_path / "payment.failed.json"
    broken.write_text(broken.read_text().replace('"reason"', '"cause"', 1))
    (tmp_path / "payment.lost.json").write_text("{}\n")
    (tmp_path / ALERT).unlink()
    assert main(["--check"]) == 1
    out, err = capsys.readouterr()
    assert '-        "cause": {' in out
    assert '+        "reason": {' in out
    assert "--- generated/payment.lost.json" in out
    assert f"--- generated/{ALERT}" in out
    assert "python -m schemas.generate" in err
    write(tmp_path)
    assert main(["--check"]) == 0


def test_there_is_a_schema_for_every_event_type():
    ours = {ALERT, INCIDENT, KEPT, SILENCE, PARTIAL, ASYNCAPI}
    assert set(documents()) == {f"{event_type}.json" for event_type in DATA_OF} | ours


def test_a_schema_names_the_fields_and_never_null():
    for event_type, model in DATA_OF.items():
        text = documents()[f"{event_type}.json"]
        schema = json.loads(text)
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert schema["properties"]["type"]["const"] == event_type
        assert set(schema["required"]) == {"specversion", "id", "source", "type", "time", "data"}
        data = schema["$defs"][model.__name__]
        assert set(data["properties"]) == set(fields_of(model))
        assert set(data.get("required", [])) == {n for n, info in fields_of(model).items() if info.is_required()}
        assert "null" not in text


def test_asyncapi_has_every_topic_with_its_messages():
    document = json.loads(documents()[ASYNCAPI])
    channels = document["channels"]
    subjects = set(SUBJECT_OF.values()) - {EVERYWHERE}
    assert set(channels) == subjects | {"deadletters", "rollups", "alerts", "incidents"}
    for subject in subjects:
        wanted = {event_type for event_type, home in SUBJECT_OF.items() if home in (subject, EVERYWHERE)}
        assert set(channels[subject]["messages"]) == wanted
        assert channels[subject]["address"] == f"{{namespace}}.{subject}.v1"


def test_every_reference_leads_somewhere():
    for text in documents().values():
        document = json.loads(text)
        for reference in re.findall(r'"\$ref": "([^"]+)"', text):
            file, _, path = reference.partition("#")
            if file:
                assert (FOLDER / file).is_file()
            node = document
            for step in path.strip("/").split("/") if path else ():
                node = node[step]
