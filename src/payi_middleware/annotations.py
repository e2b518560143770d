"""What a provider call is annotated with, and how annotations are inherited.

One frozen value serves as a layer and as the result of stacking layers. In a layer, None means "not named here" and
an empty value means "take it away"; in a result, None means "there is none" and nothing is empty.
The rules are those of Pay-i's own SDK, so that moving over is a change of import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, Literal, Self

Properties = Mapping[str, str | None]
ReportMode = Literal["background", "inline"]


@dataclass(frozen=True, slots=True)
class Annotations:
    """Who a provider call is for, which use case it serves and which limits it counts against.

    Args:
        user_id: the end user.
        account_name: the customer or tenant the user belongs to.
        session_id: the user's session; becomes the request property `session_id`, and the use case id where one
            would otherwise be made up.
        use_case_name: letters, digits, `.`, `-` and `_`, at most 64 characters.
        use_case_id: one instance of the use case; made up if a name is given without one.
        use_case_version: the version of the use case's definition.
        use_case_step: the step within the use case.
        use_case_properties: free text by name, kept with the use case instance.
        limit_ids: the limits (budgets) this call counts against.
        request_tags: letters, digits, `_` and `-`.
        request_properties: free text by name, kept with the request.
        price_as_category, price_as_resource: price the call as another category or resource.
        resource_scope: `global`, `datazone`, `region`, or dotted (`datazone.us`).
        log_prompt_and_response: send the prompt and the answer along with the report.
        proxy: route the call through Pay-i's proxy.
        report: "background" or "inline" (hold the answer until the result is in).
    """

    user_id: str | None = None
    account_name: str | None = None
    session_id: str | None = None
    use_case_name: str | None = None
    use_case_id: str | None = None
    use_case_version: int | None = None
    use_case_step: str | None = None
    use_case_properties: Properties | None = None
    limit_ids: tuple[str, ...] | None = None
    request_tags: tuple[str, ...] | None = None
    request_properties: Properties | None = None
    price_as_category: str | None = None
    price_as_resource: str | None = None
    resource_scope: str | None = None
    log_prompt_and_response: bool | None = None
    proxy: bool | None = None
    report: ReportMode | None = None

    def __post_init__(self) -> None:
        """Freeze what the caller could still change, and check the types once, where they are written."""
        for name in _LISTS:
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _as_tuple(name, value))
        for name in _MAPPINGS:
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _as_properties(name, value))
        for name in _TEXTS:
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise TypeError(f"{name} must be a str, not {type(value).__name__}")
        if self.use_case_version is not None and type(self.use_case_version) is not int:
            raise TypeError(f"use_case_version must be an int, not {type(self.use_case_version).__name__}")
        for name in ("log_prompt_and_response", "proxy"):
            if getattr(self, name) not in (None, True, False):
                raise TypeError(f"{name} must be a bool, not {type(getattr(self, name)).__name__}")
        if self.report not in (None, "background", "inline"):
            raise TypeError('report must be "background" or "inline"')

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by value: the read-only views of the properties cannot be pickled themselves."""
        values = (getattr(self, field.name) for field in fields(self))
        return type(self), tuple(dict(value) if isinstance(value, MappingProxyType) else value for value in values)


_LISTS = ("limit_ids", "request_tags")
_MAPPINGS = ("use_case_properties", "request_properties")
_TEXTS = (
    "user_id",
    "account_name",
    "session_id",
    "use_case_name",
    "use_case_id",
    "use_case_step",
    "price_as_category",
    "price_as_resource",
    "resource_scope",
)
_PLAIN = ("user_id", "account_name", "session_id", "price_as_category", "price_as_resource", "resource_scope")
_FLAGS = ("log_prompt_and_response", "proxy", "report")
USE_CASE_FIELDS = ("use_case_name", "use_case_id", "use_case_version", "use_case_step", "use_case_properties")

NOTHING = Annotations()


class MadeUpId(str):
    """A use case id that nobody chose: a session that becomes known later takes its place."""

    __slots__ = ()


FIELDS = tuple(field.name for field in fields(Annotations))


def _as_tuple(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        raise TypeError(f"{name} must be a list of str, not {type(value).__name__}")
    items = tuple(value)
    if not all(isinstance(item, str) for item in items):
        raise TypeError(f"{name} must be a list of str")
    return tuple(dict.fromkeys(item for item in items if item))


def _as_properties(name: str, value: Any) -> Properties:
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a mapping of str to str, not {type(value).__name__}")
    return MappingProxyType({str(key): None if item is None else str(item) for key, item in value.items()})


def inherit(parent: Annotations, child: Annotations, new_use_case_id: Callable[[], str]) -> Annotations:
    """Stack a layer on what is in force.

    Args:
        parent: what is in force (a result).
        child: the layer that is entered.
        new_use_case_id: called when a use case name comes without an id; it must give the same id each time it is
            asked on behalf of one layer.

    Returns:
        What is in force inside the layer.
    """
    if child is NOTHING:
        return parent
    changes: dict[str, Any] = {}
    for name in _PLAIN:
        if (value := getattr(child, name)) is not None:
            changes[name] = value or None
    for name in _FLAGS:
        if (value := getattr(child, name)) is not None:
            changes[name] = value
    for name in _LISTS:
        if (value := getattr(child, name)) is not None:
            changes[name] = _union(getattr(parent, name), value)
    if child.request_properties is not None:
        changes["request_properties"] = _merge(parent.request_properties, child.request_properties)
    session_id = changes.get("session_id", parent.session_id)
    changes.update(_use_case(parent, child, session_id, new_use_case_id))
    return _changed(parent, changes) if changes else parent


def _use_case(
    parent: Annotations, child: Annotations, session_id: str | None, new_use_case_id: Callable[[], str]
) -> dict[str, Any]:
    if child.use_case_name == "":
        return dict.fromkeys(USE_CASE_FIELDS)
    name = child.use_case_name or parent.use_case_name
    changes: dict[str, Any] = {"use_case_name": name} if name != parent.use_case_name else {}
    if child.use_case_version is not None:
        changes["use_case_version"] = child.use_case_version
    if child.use_case_step is not None:
        changes["use_case_step"] = child.use_case_step or None
    if child.use_case_properties is not None:
        changes["use_case_properties"] = _merge(parent.use_case_properties, child.use_case_properties)
    if name is None:
        return changes
    if child.use_case_id is not None:
        changes["use_case_id"] = child.use_case_id or None
    elif name != parent.use_case_name:
        changes["use_case_id"] = session_id or MadeUpId(new_use_case_id())
    elif child.session_id and isinstance(parent.use_case_id, MadeUpId):
        changes["use_case_id"] = child.session_id
    return changes


def _changed(base: Annotations, changes: Mapping[str, Any]) -> Annotations:
    """Do what `dataclasses.replace` does, in half the time: these values have been checked and frozen already."""
    changed = object.__new__(Annotations)
    for name in FIELDS:
        object.__setattr__(changed, name, changes[name] if name in changes else getattr(base, name))
    return changed


def _union(parent: tuple[str, ...] | None, child: tuple[str, ...]) -> tuple[str, ...] | None:
    return tuple(dict.fromkeys((*(parent or ()), *child))) if child else None


def _merge(parent: Properties | None, child: Properties) -> Properties | None:
    return MappingProxyType({**(parent or {}), **child}) if child else None


def override(context: Annotations, call: Annotations) -> Annotations:
    """Apply what the app put on one provider call itself, which beats the context.

    The rules differ from `inherit`: a list replaces instead of uniting, an empty value removes, and a use case name
    (or its removal) suppresses the context's id, version and step; a use case id without a name loses to the
    context's when the context has a name.
    """
    if call is NOTHING:
        return context
    changes: dict[str, Any] = {}
    for name in (*_PLAIN, *_LISTS):
        if (value := getattr(call, name)) is not None:
            changes[name] = value or None
    for name in _FLAGS:
        if (value := getattr(call, name)) is not None:
            changes[name] = value
    for name in _MAPPINGS:
        if (value := getattr(call, name)) is not None:
            changes[name] = _merge(getattr(context, name), value)
    if call.use_case_name is not None:
        changes["use_case_name"] = call.use_case_name or None
        for name in ("use_case_id", "use_case_version", "use_case_step"):
            value = getattr(call, name) if call.use_case_name else None
            changes[name] = None if value == "" else value
        return _changed(context, changes)
    if call.use_case_id and context.use_case_name is None:
        changes["use_case_id"] = call.use_case_id
    if call.use_case_version is not None:
        changes["use_case_version"] = call.use_case_version
    if call.use_case_step is not None:
        changes["use_case_step"] = call.use_case_step or None
    return _changed(context, changes) if changes else context
