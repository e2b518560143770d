"""Use cases as requests meet them: definitions and instances are made by the first request that names them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, insert, select, update

from payi_middleware.service.store import clock
from payi_middleware.service.store.reading import Reads, Rows
from payi_middleware.service.store.schema import limits as limits_table
from payi_middleware.service.store.schema import use_case_definitions as definitions
from payi_middleware.service.store.schema import use_case_instances as instances
from payi_middleware.service.store.writing import insert_all, insert_new, padded, portions

from . import limits
from .events import Event

__all__ = ["Entered", "Entering", "Instance", "make", "merge", "new_limit"]

_DEFINITIONS = select(definitions).where(
    definitions.c.application_id == bindparam("application"),
    definitions.c.use_case_name.in_(bindparam("named", expanding=True)),
)
_INSTANCES = (
    select(instances)
    .where(
        instances.c.application_id == bindparam("application"),
        instances.c.use_case_name.in_(bindparam("named", expanding=True)),
        instances.c.use_case_id.in_(bindparam("named_ids", expanding=True)),
    )
    .order_by(instances.c.use_case_name, instances.c.use_case_id)
)
_LOCKED_INSTANCES = _INSTANCES.with_for_update()
_UPDATE = (
    update(instances)
    .where(
        instances.c.application_id == bindparam("application"),
        instances.c.use_case_name == bindparam("named"),
        instances.c.use_case_id == bindparam("named_id"),
    )
    .values(properties=bindparam("merged"))
)
_FEW_PAIRS = 256
_IMPLIED = ""
"""The description of a definition that nobody has written."""


class Instance(NamedTuple):
    """What a request has to know of its use case.

    Args:
        use_case_id: the instance, made up if the request named none; None without a use case.
        limit_id: the limit that comes with the instance.
        type_version: the newest version of its definition; the instance may be of an older one.
        logging_enabled: whether prompts and answers are kept.
    """

    use_case_id: str | None = None
    limit_id: str | None = None
    type_version: int = 0
    logging_enabled: bool = True


_NO_USE_CASE = Instance()


@dataclass(slots=True)
class Entered:
    """The instances that requests belong to."""

    instances: dict[int, Instance] = field(default_factory=dict)

    def of(self, event: Event) -> Instance:
        """Return a request's instance."""
        return self.instances.get(id(event), _NO_USE_CASE)

    @property
    def limit_ids(self) -> set[str]:
        """The limits that come with these instances."""
        return {instance.limit_id for instance in self.instances.values() if instance.limit_id is not None}


class Entering:
    """Have requests enter their use cases, once it is known what there is of those.

    Args:
        reads: by which it is asked for.
        application_id: whose requests these are.
        events: the requests.
    """

    def __init__(self, reads: Reads, application_id: int, events: Sequence[Event]) -> None:
        self._application_id = application_id
        self._definitions: list[Rows] = []
        self._instances: list[Rows] = []
        named = [event for event in events if event.use_case_name]
        names = sorted({str(event.use_case_name) for event in named})
        for portion in portions(names):
            query = {"application": application_id, "named": padded(portion)}
            self._definitions.append(reads.ask(_DEFINITIONS, query))
        instances_query = _LOCKED_INSTANCES if any(event.use_case_properties for event in named) else _INSTANCES
        for some, ids in _looked_up(named):
            for named_ids in portions(sorted(ids)):
                query = {"application": application_id, "named": padded(some), "named_ids": padded(named_ids)}
                self._instances.append(reads.ask(instances_query, query))

    def enter(self, connection: Connection, events: Sequence[Event]) -> Entered:
        """Make the definitions and instances that are not there, and merge the properties of the others.

        Args:
            connection: the transaction that the questions were asked in; they are answered.
            events: those of the requests that are booked.
        """
        entered = Entered()
        named = [event for event in events if event.use_case_name]
        if not named:
            return entered
        application_id = self._application_id
        known = {row["use_case_name"]: row for rows in self._definitions for row in rows}
        found = {(row["use_case_name"], row["use_case_id"]): dict(row) for rows in self._instances for row in rows}
        of = {id(event): (str(event.use_case_name), event.use_case_id or str(uuid.uuid4())) for event in named}
        _define(connection, application_id, known, sorted({name for name, _ in of.values()} - known.keys()))
        asked: dict[tuple[str, str], int | None] = {}
        for event in named:
            asked.setdefault(of[id(event)], event.use_case_version)
        new = {key: asked[key] for key in sorted(asked.keys() - found.keys())}
        make(connection, application_id, known, found, new)
        _merge(connection, application_id, found, named, of)
        for event in named:
            key = of[id(event)]
            definition = known[key[0]]
            entered.instances[id(event)] = Instance(
                key[1], found[key]["limit_id"], definition["type_version"], definition["logging_enabled"]
            )
        return entered


def _looked_up(events: Sequence[Event]) -> Iterable[tuple[list[str], set[str]]]:
    """Return names and ids that are looked up together: few at once, as any id may be of any name."""
    asked: dict[str, set[str]] = {}
    for event in events:
        if event.use_case_id:
            asked.setdefault(str(event.use_case_name), set()).add(event.use_case_id)
    together = set().union(*asked.values())
    if len(asked) * len(together) <= _FEW_PAIRS:
        return [(sorted(asked), together)] if asked else []
    return [([name], ids) for name, ids in sorted(asked.items())]


def _define(
    connection: Connection, application_id: int, known: dict[Any, Mapping[Any, Any]], names: Sequence[str]
) -> None:
    """Make definitions, and add them to those known."""
    now = clock.micros(clock.now())
    new: list[dict[str, Any]] = [
        {
            "application_id": application_id,
            "use_case_name": name,
            "description": _IMPLIED,
            "logging_enabled": True,
            "type_version": 1,
            "limit_config": None,
            "created_timestamp": now,
            "updated_timestamp": now,
        }
        for name in names
    ]
    if new:
        insert_new(connection, definitions, new)
        known.update((row["use_case_name"], row) for row in new)


def make(
    connection: Connection,
    application_id: int,
    known: Mapping[str, Mapping[Any, Any]],
    found: dict[tuple[str, str], dict[Any, Any]],
    new: Mapping[tuple[str, str], int | None],
) -> None:
    """Make instances, each with its limit where its definition says so, and add them to those found.

    Args:
        known: the definitions, by name.
        found: the instances, by name and id.
        new: the names and ids of those to be made, and the version that each is asked to be of; the newest one, where
            there is no such version or none was asked for. Their definitions are known.
    """
    now = clock.micros(clock.now())
    made: list[dict[str, Any]] = []
    with_limit: list[dict[str, Any]] = []
    for (name, use_case_id), version in new.items():
        newest = known[name]["type_version"]
        limit = new_limit(name, use_case_id, known[name]["limit_config"])
        if limit is not None:
            with_limit.append(limits.as_row(application_id, limit))
        made.append(
            {
                "application_id": application_id,
                "use_case_name": name,
                "use_case_id": use_case_id,
                "type_version": version if version is not None and 1 <= version <= newest else newest,
                "limit_id": None if limit is None else limit.limit_id,
                "properties": None,
                "created_timestamp": now,
            }
        )
    if made:
        insert_all(connection, instances, made)
        found.update(((row["use_case_name"], row["use_case_id"]), row) for row in made)
    if with_limit:
        connection.execute(insert(limits_table), with_limit)


def new_limit(use_case_name: str, use_case_id: str, config: Mapping[str, Any] | None) -> limits.NewLimit | None:
    """Return the limit that an instance gets when it is made, if its definition says that it gets one.

    https://docs.pay-i.com/docs/use-case-automatic-limits
    """
    if not config:
        return None
    limit_id = str(uuid.uuid4())
    return limits.parse_limit(
        limit_name=f"{use_case_name}/{use_case_id}"[:256] + f" {limit_id[:8]}",
        maximum=config["max"],
        limit_id=limit_id,
        limit_type=config.get("limit_type"),
        threshold=config.get("threshold"),
        properties=config.get("properties"),
    )


def _merge(
    connection: Connection,
    application_id: int,
    found: Mapping[tuple[str, str], dict[Any, Any]],
    events: Sequence[Event],
    of: Mapping[int, tuple[str, str]],
) -> None:
    """Merge the properties that requests bring along into those of their instances."""
    changed: set[tuple[str, str]] = set()
    for event in events:
        instance = found[of[id(event)]]
        merged = merge(instance["properties"], event.use_case_properties)
        if merged != (instance["properties"] or {}):
            instance["properties"] = merged
            changed.add(of[id(event)])
    if changed:
        connection.execute(
            _UPDATE,
            [
                {
                    "application": application_id,
                    "named": name,
                    "named_id": use_case_id,
                    "merged": found[name, use_case_id]["properties"] or None,
                }
                for name, use_case_id in sorted(changed)
            ],
        )


def merge(old: Mapping[str, str] | None, new: Mapping[str, str | None]) -> dict[str, str]:
    """Return properties with others merged in; a null takes a key away: https://docs.pay-i.com/docs/limit-properties"""
    if not old and not new:
        return {}
    merged = {**(old or {}), **new}
    return {key: value for key, value in merged.items() if value is not None}
