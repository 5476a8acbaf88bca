"""Every name on the wire, in one place: topics, Redis keys, consumer groups.

All start with the namespace, so several installations share one Kafka and one Redis. A Redis key's part in
braces is its hash tag: keys that one script touches share it, so the script is atomic on a cluster too.
"""

from __future__ import annotations

from dataclasses import dataclass

EVENT_SUBJECTS = ("payments", "enrollments", "webhooks", "health", "platform", "errors", "security", "changes")


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """One partition of one log: a topic that was deleted and made again is another log, told by its id."""

    topic: str
    topic_id: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.topic_id}/{self.partition}"

    @classmethod
    def parse(cls, text: str) -> Source:
        topic, topic_id, partition = text.rsplit("/", 2)
        return cls(topic, topic_id, int(partition))


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one installation."""

    namespace: str = "tillwatch"

    # Topics
    def events(self, subject: str) -> str:
        return f"{self.namespace}.{subject}.v1"

    @property
    def event_topics(self) -> tuple[str, ...]:
        return tuple(self.events(subject) for subject in EVENT_SUBJECTS)

    def subject(self, topic: str) -> str:
        """The subject of an event topic: the inverse of `events`."""
        return topic.removeprefix(f"{self.namespace}.").removesuffix(".v1")

    @property
    def rollups(self) -> str:
        return f"{self.namespace}.rollups.v1"

    @property
    def alerts(self) -> str:
        return f"{self.namespace}.alerts.v1"

    @property
    def incidents(self) -> str:
        return f"{self.namespace}.incidents.v1"

    @property
    def deadletters(self) -> str:
        return f"{self.namespace}.deadletters.v1"

    # Consumer groups
    def group(self, part: str) -> str:
        return f"{self.namespace}-{part}"

    # Redis: the registry of sources
    @property
    def sources(self) -> str:
        return f"{self.namespace}:sources"

    # Redis: one source partition (written by measure)
    def source_state(self, source: Source) -> str:
        return f"{self.namespace}:{{{source}}}:state"

    def source_buckets(self, source: Source) -> str:
        return f"{self.namespace}:{{{source}}}:buckets"

    def source_ids(self, source: Source) -> str:
        return f"{self.namespace}:{{{source}}}:ids"

    def source_cells(self, source: Source, bucket: int | str, part: str) -> str:
        """`part` is `fast` or `slow` (tables of high cardinality)."""
        return f"{self.namespace}:{{{source}}}:{part}:{bucket}"

    # Redis: one merged table (written by evaluate)
    def table(self, table: str, part: str) -> str:
        """`part`: writer, merged, changed, stale, groups."""
        return f"{self.namespace}:{{{table}}}:{part}"

    def table_rows(self, table: str, resolution: str, group: int) -> str:
        """A hash {bucket: rows} of all buckets of one group (an hour of 10 s, 6 hours of 1 m, 10 days of 1 h)."""
        return f"{self.namespace}:{{{table}}}:{resolution}:{group}"

    # Redis: evaluate's own
    @property
    def leader(self) -> str:
        return f"{self.namespace}:{{evaluate}}:leader"

    @property
    def alert_states(self) -> str:
        return f"{self.namespace}:{{evaluate}}:alerts"

    @property
    def baselines(self) -> str:
        return f"{self.namespace}:{{evaluate}}:baselines"

    @property
    def imports(self) -> str:
        """History for baselines, put there by `tillwatch baseline import`."""
        return f"{self.namespace}:{{evaluate}}:imports"

    # Redis: the notifier's own
    def notifier(self, part: str) -> str:
        """`part`: leader, incidents, commands, handovers, proofs, reports."""
        return f"{self.namespace}:{{notifier}}:{part}"

    @property
    def checklists(self) -> str:
        """What people ticked: `item/period` → who, when."""
        return f"{self.namespace}:checklists"

    def answer(self, command: str) -> str:
        """What came of a command, by its id; expires."""
        return f"{self.namespace}:{{notifier}}:answer:{command}"

    def frozen(self, alert: str) -> str:
        """The figures around the beginning of an alert, by its id, written once by a console; expires."""
        return f"{self.namespace}:console:frozen:{alert}"

    def notifier_process(self, name: str) -> str:
        """What one notifier says of itself, for `tillwatch status`; expires."""
        return f"{self.namespace}:notifier:{name}"

    @property
    def saved_queries(self) -> str:
        """Statements that somebody gave a name, in the console."""
        return f"{self.namespace}:{{console}}:queries"

    # Redis: who may do what in the console
    def console(self, part: str) -> str:
        """`part`: users, tokens, audit; session:HASH, once:HASH and flow:HASH, which expire."""
        return f"{self.namespace}:{{console}}:{part}"

    def worker(self, name: str) -> str:
        """What one worker says of itself, for `tillwatch status`; expires."""
        return f"{self.namespace}:worker:{name}"
