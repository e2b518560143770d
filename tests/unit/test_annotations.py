"""How annotations are inherited and overridden: the rules of Pay-i's own SDK."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payi_middleware.annotations import FIELDS, NOTHING, Annotations, MadeUpId, inherit, override

PARENT = Annotations(
    user_id="alice",
    account_name="acme",
    session_id="s1",
    use_case_name="chat",
    use_case_id="chat-1",
    use_case_version=3,
    use_case_step="plan",
    use_case_properties={"tier": "gold", "lang": "en"},
    limit_ids=("l1", "l2"),
    request_tags=("t1",),
    request_properties={"a": "1", "b": "2"},
    price_as_category="system.openai",
    price_as_resource="gpt-5",
    resource_scope="region",
    log_prompt_and_response=True,
    proxy=True,
    report="inline",
)
TEXTS = ("user_id", "account_name", "session_id", "price_as_category", "price_as_resource", "resource_scope")
LISTS = ("limit_ids", "request_tags")
MAPPINGS = ("use_case_properties", "request_properties")


def new_id() -> str:
    return "made-up"


def stacked(*layers: Annotations, new_use_case_id: Callable[[], str] = new_id) -> Annotations:
    result = NOTHING
    for layer in layers:
        result = inherit(result, layer, new_use_case_id)
    return result


def layer(field: str, value: Any) -> Annotations:
    return Annotations(**{field: value})


def changed(before: Annotations, after: Annotations) -> dict[str, Any]:
    return {name: getattr(after, name) for name in FIELDS if getattr(before, name) != getattr(after, name)}


# --- inherit: not given ----------------------------------------------------------------------------------------------


def test_a_layer_that_names_nothing_inherits_everything() -> None:
    assert inherit(PARENT, NOTHING, new_id) is PARENT
    assert inherit(PARENT, Annotations(), new_id) == PARENT


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_that_no_layer_names_stays_as_the_parent_has_it(field: str) -> None:
    other = Annotations(account_name="umbrella") if field == "user_id" else Annotations(user_id="bob")

    assert getattr(inherit(PARENT, other, new_id), field) == getattr(PARENT, field)


# --- inherit: empty --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", [*TEXTS, "use_case_step", "use_case_id"])
def test_an_empty_text_takes_the_inherited_one_away_and_nothing_else(field: str) -> None:
    child = layer(field, "")

    assert changed(PARENT, inherit(PARENT, child, new_id)) == {field: None}


@pytest.mark.parametrize(("field", "empty"), [*((name, ()) for name in LISTS), *((name, {}) for name in MAPPINGS)])
def test_an_empty_list_or_mapping_takes_the_inherited_one_away_and_nothing_else(field: str, empty: Any) -> None:
    child = layer(field, empty)

    assert changed(PARENT, inherit(PARENT, child, new_id)) == {field: None}


def test_an_empty_use_case_name_blocks_all_five_even_those_named_along_with_it() -> None:
    child = Annotations(
        use_case_name="",
        use_case_id="x",
        use_case_version=9,
        use_case_step="s",
        use_case_properties={"k": "v"},
        user_id="bob",
    )

    assert changed(PARENT, inherit(PARENT, child, new_id)) == {
        "use_case_name": None,
        "use_case_id": None,
        "use_case_version": None,
        "use_case_step": None,
        "use_case_properties": None,
        "user_id": "bob",
    }


def test_version_zero_and_false_are_values_not_empty() -> None:
    child = Annotations(use_case_version=0, log_prompt_and_response=False, proxy=False, report="background")

    inside = inherit(PARENT, child, new_id)

    assert inside.use_case_version == 0
    assert inside.log_prompt_and_response is False
    assert inside.proxy is False
    assert inside.report == "background"


def test_empty_items_of_a_list_are_dropped_and_a_list_of_them_is_empty() -> None:
    assert Annotations(limit_ids=["", "a", "", "a"]).limit_ids == ("a",)  # type: ignore[arg-type]
    assert Annotations(limit_ids=("", "a", "", "a")).limit_ids == ("a",)
    assert inherit(PARENT, Annotations(limit_ids=("",)), new_id).limit_ids is None


# --- inherit: given --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", [*TEXTS, "use_case_step", "use_case_id"])
def test_a_given_text_replaces_the_inherited_one_and_nothing_else(field: str) -> None:
    child = layer(field, "new")

    assert changed(PARENT, inherit(PARENT, child, new_id)) == {field: "new"}


def test_a_given_version_replaces_the_inherited_one() -> None:
    assert changed(PARENT, inherit(PARENT, Annotations(use_case_version=7), new_id)) == {"use_case_version": 7}


@pytest.mark.parametrize("field", LISTS)
def test_lists_are_united_without_repeating_items(field: str) -> None:
    parent, child = layer(field, ("x", "y")), layer(field, ("z", "x"))

    assert getattr(inherit(parent, child, new_id), field) == ("x", "y", "z")


@pytest.mark.parametrize("field", MAPPINGS)
def test_properties_are_merged_and_the_childs_keys_win(field: str) -> None:
    parent, child = layer(field, {"a": "1", "b": "2"}), layer(field, {"b": "3", "c": None})

    assert dict(getattr(inherit(parent, child, new_id), field)) == {"a": "1", "b": "3", "c": None}


# --- inherit: the use case and its id --------------------------------------------------------------------------------


def test_the_same_use_case_name_keeps_the_parents_id() -> None:
    assert inherit(PARENT, Annotations(use_case_name="chat"), new_id) == PARENT


def test_the_same_use_case_name_with_an_id_takes_the_id() -> None:
    child = Annotations(use_case_name="chat", use_case_id="chat-2")

    assert changed(PARENT, inherit(PARENT, child, new_id)) == {"use_case_id": "chat-2"}


def test_a_new_use_case_name_gets_a_made_up_id_and_keeps_version_step_and_properties() -> None:
    parent = replace(PARENT, session_id=None)

    inside = inherit(parent, Annotations(use_case_name="summary"), new_id)

    assert changed(parent, inside) == {"use_case_name": "summary", "use_case_id": "made-up"}
    assert isinstance(inside.use_case_id, MadeUpId)


def test_a_new_use_case_name_with_an_id_takes_the_id() -> None:
    child = Annotations(use_case_name="summary", use_case_id="s-1")

    assert inherit(PARENT, child, new_id).use_case_id == "s-1"


def test_a_new_use_case_name_with_an_empty_id_has_none() -> None:
    assert inherit(PARENT, Annotations(use_case_name="summary", use_case_id=""), new_id).use_case_id is None


def test_a_use_case_id_is_ignored_where_no_name_is_in_force() -> None:
    assert stacked(Annotations(use_case_id="x")) == NOTHING


def test_version_step_and_properties_are_kept_where_no_name_is_in_force() -> None:
    layer = Annotations(use_case_version=2, use_case_step="s", use_case_properties={"k": "v"})

    assert stacked(layer) == layer


def test_no_id_is_made_up_where_none_is_needed() -> None:
    def refuse() -> str:
        raise AssertionError("an id was made up")

    named = Annotations(use_case_name="chat", use_case_id="c1")
    inside = stacked(named, Annotations(use_case_name="chat"), Annotations(user_id="bob"), new_use_case_id=refuse)

    assert inside.use_case_id == "c1"


# --- inherit: sessions -----------------------------------------------------------------------------------------------


def test_a_session_is_the_use_case_id_where_one_would_be_made_up() -> None:
    assert stacked(Annotations(session_id="s1", use_case_name="chat")).use_case_id == "s1"
    assert stacked(Annotations(session_id="s1"), Annotations(use_case_name="chat")).use_case_id == "s1"


def test_a_session_that_becomes_known_later_takes_the_place_of_a_made_up_id() -> None:
    assert stacked(Annotations(use_case_name="chat"), Annotations(session_id="s1")).use_case_id == "s1"
    within = stacked(Annotations(use_case_name="chat"), Annotations(use_case_name="chat", session_id="s1"))
    assert within.use_case_id == "s1"


def test_a_made_up_id_is_still_known_as_such_after_layers_that_say_nothing_about_it() -> None:
    layers = (Annotations(use_case_name="chat"), Annotations(user_id="alice"), Annotations(session_id="s1"))

    assert stacked(*layers).use_case_id == "s1"


def test_a_session_never_takes_the_place_of_a_chosen_id() -> None:
    chosen = Annotations(use_case_name="chat", use_case_id="c1")

    assert stacked(chosen, Annotations(session_id="s1")).use_case_id == "c1"
    assert stacked(Annotations(session_id="s1"), chosen).use_case_id == "c1"
    assert stacked(replace(chosen, session_id="s1")).use_case_id == "c1"


def test_a_session_does_not_bring_back_an_id_that_was_taken_away() -> None:
    without = Annotations(use_case_name="chat", use_case_id="")

    assert stacked(without, Annotations(session_id="s1")).use_case_id is None


def test_a_session_without_a_use_case_is_no_use_case_id() -> None:
    assert stacked(Annotations(session_id="s1")).use_case_id is None


# --- override: what is put on one call -------------------------------------------------------------------------------


def test_a_call_that_names_nothing_changes_nothing() -> None:
    assert override(PARENT, NOTHING) is PARENT
    assert override(PARENT, Annotations()) is PARENT


@pytest.mark.parametrize("field", [*TEXTS, "use_case_step"])
def test_a_text_on_the_call_wins_and_an_empty_one_removes(field: str) -> None:
    assert changed(PARENT, override(PARENT, layer(field, "new"))) == {field: "new"}
    assert changed(PARENT, override(PARENT, layer(field, ""))) == {field: None}


@pytest.mark.parametrize("field", LISTS)
def test_a_list_on_the_call_replaces_instead_of_uniting(field: str) -> None:
    assert changed(PARENT, override(PARENT, layer(field, ("z",)))) == {field: ("z",)}
    assert changed(PARENT, override(PARENT, layer(field, ()))) == {field: None}


@pytest.mark.parametrize("field", MAPPINGS)
def test_properties_on_the_call_are_merged_and_empty_ones_remove(field: str) -> None:
    context = layer(field, {"a": "1", "b": "2"})

    assert dict(getattr(override(context, layer(field, {"b": "3"})), field)) == {"a": "1", "b": "3"}
    assert getattr(override(context, layer(field, {})), field) is None


@pytest.mark.parametrize(
    ("field", "value"), [("log_prompt_and_response", False), ("proxy", False), ("report", "background")]
)
def test_a_flag_on_the_call_wins(field: str, value: Any) -> None:
    assert changed(PARENT, override(PARENT, layer(field, value))) == {field: value}


def test_a_use_case_name_on_the_call_suppresses_the_contexts_id_version_and_step() -> None:
    assert changed(PARENT, override(PARENT, Annotations(use_case_name="other"))) == {
        "use_case_name": "other",
        "use_case_id": None,
        "use_case_version": None,
        "use_case_step": None,
    }


def test_the_same_use_case_name_on_the_call_suppresses_them_as_well() -> None:
    assert override(PARENT, Annotations(use_case_name="chat")).use_case_id is None


def test_a_use_case_named_in_full_on_the_call_is_taken_in_full() -> None:
    call = Annotations(use_case_name="other", use_case_id="o1", use_case_version=0, use_case_step="s")

    result = override(PARENT, call)

    assert (result.use_case_name, result.use_case_id, result.use_case_version, result.use_case_step) == (
        "other",
        "o1",
        0,
        "s",
    )
    assert result.use_case_properties == PARENT.use_case_properties


def test_empty_parts_of_a_use_case_named_on_the_call_are_none() -> None:
    result = override(PARENT, Annotations(use_case_name="other", use_case_id="", use_case_step=""))

    assert result.use_case_id is None
    assert result.use_case_step is None


def test_an_empty_use_case_name_on_the_call_removes_name_id_version_and_step_but_not_properties() -> None:
    call = Annotations(use_case_name="", use_case_id="x", use_case_version=1, use_case_step="s")

    assert changed(PARENT, override(PARENT, call)) == {
        "use_case_name": None,
        "use_case_id": None,
        "use_case_version": None,
        "use_case_step": None,
    }


def test_a_use_case_id_on_the_call_without_a_name_loses_to_the_contexts() -> None:
    assert override(PARENT, Annotations(use_case_id="x")) == PARENT


def test_a_use_case_id_on_the_call_is_taken_where_the_context_has_no_name() -> None:
    assert override(NOTHING, Annotations(use_case_id="x")).use_case_id == "x"
    assert override(NOTHING, Annotations(use_case_id="")) == NOTHING


def test_a_version_on_the_call_without_a_name_wins() -> None:
    assert changed(PARENT, override(PARENT, Annotations(use_case_version=0))) == {"use_case_version": 0}


# --- types and immutability ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        *(({name: 5}, f"{name} must be a str, not int") for name in (*TEXTS, "use_case_name", "use_case_id")),
        ({"use_case_step": b"s"}, "use_case_step must be a str, not bytes"),
        ({"use_case_version": "1"}, "use_case_version must be an int, not str"),
        ({"use_case_version": True}, "use_case_version must be an int, not bool"),
        ({"use_case_version": 1.0}, "use_case_version must be an int, not float"),
        ({"limit_ids": "l1"}, "limit_ids must be a list of str, not str"),
        ({"limit_ids": 5}, "limit_ids must be a list of str, not int"),
        ({"limit_ids": [5]}, "limit_ids must be a list of str"),
        ({"request_tags": (5,)}, "request_tags must be a list of str"),
        ({"request_properties": "a=b"}, "request_properties must be a mapping of str to str, not str"),
        ({"use_case_properties": [("a", "b")]}, "use_case_properties must be a mapping of str to str, not list"),
        ({"proxy": "yes"}, "proxy must be a bool, not str"),
        ({"log_prompt_and_response": "no"}, "log_prompt_and_response must be a bool, not str"),
        ({"report": "inlien"}, 'report must be "background" or "inline"'),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_where_it_is_written(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(TypeError) as caught:
        Annotations(**wrong)

    assert str(caught.value) == said


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(TypeError, match="user_di"):
        Annotations(user_di="alice")  # type: ignore[call-arg]


def test_property_keys_and_values_become_text_and_none_stays() -> None:
    given: Any = {1: 2.5, "k": None}

    assert dict(Annotations(request_properties=given).request_properties or {}) == {"1": "2.5", "k": None}


def test_any_iterable_of_texts_is_a_list() -> None:
    names: Any = (name for name in ("a", "b"))

    assert Annotations(limit_ids=names).limit_ids == ("a", "b")


def test_annotations_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        PARENT.user_id = "mallory"  # type: ignore[misc]
    with pytest.raises(TypeError):
        PARENT.request_properties["a"] = "changed"  # type: ignore[index]


def test_what_the_caller_changes_later_changes_nothing() -> None:
    tags: Any = ["t1"]
    properties: dict[str, str | None] = {"a": "1"}
    annotations = Annotations(
        request_tags=tags, request_properties=properties, use_case_properties=MappingProxyType(properties)
    )

    tags.append("t2")
    properties["a"] = "changed"

    assert annotations.request_tags == ("t1",)
    assert dict(annotations.request_properties or {}) == {"a": "1"}
    assert dict(annotations.use_case_properties or {}) == {"a": "1"}


# --- properties ------------------------------------------------------------------------------------------------------

short = st.sampled_from(["", "a", "b", "c"])
texts = st.none() | short
lists = st.none() | st.lists(short, max_size=3).map(tuple)
mappings = st.none() | st.dictionaries(st.sampled_from("xyz"), st.none() | short, max_size=2)
free_of_use_case = st.builds(
    Annotations,
    user_id=texts,
    account_name=texts,
    session_id=texts,
    limit_ids=lists,
    request_tags=lists,
    request_properties=mappings,
    price_as_category=texts,
    resource_scope=texts,
    log_prompt_and_response=st.none() | st.booleans(),
    report=st.sampled_from([None, "inline", "background"]),
)
layers = st.builds(
    replace,
    free_of_use_case,
    use_case_name=texts,
    use_case_id=texts,
    use_case_version=st.none() | st.integers(0, 3),
    use_case_step=texts,
    use_case_properties=mappings,
)
stacks = st.lists(layers, max_size=4).map(lambda given: stacked(*given))


def empties(annotations: Annotations) -> list[str]:
    return [name for name in FIELDS if getattr(annotations, name) in ("", (), {})]


@given(stacks)
def test_nothing_is_the_identity(parent: Annotations) -> None:
    assert inherit(parent, NOTHING, new_id) is parent
    assert inherit(parent, Annotations(), new_id) == parent
    assert override(parent, NOTHING) is parent


@given(stacks, layers)
def test_a_result_never_holds_an_empty_value(parent: Annotations, child: Annotations) -> None:
    assert empties(inherit(parent, child, new_id)) == []
    assert empties(override(parent, child)) == []


@given(stacks, layers)
def test_entering_a_layer_twice_is_entering_it_once(parent: Annotations, child: Annotations) -> None:
    once = inherit(parent, child, new_id)

    assert inherit(once, child, new_id) == once


@given(stacks, layers)
def test_neither_side_is_changed(parent: Annotations, child: Annotations) -> None:
    before = (replace(parent), replace(child))

    inherit(parent, child, new_id)
    override(parent, child)

    assert (parent, child) == before


@given(free_of_use_case, free_of_use_case, free_of_use_case)
def test_a_result_is_a_layer_so_stacking_what_takes_nothing_away_is_associative(
    a: Annotations, b: Annotations, c: Annotations
) -> None:
    b, c = stacked(b), stacked(c)

    one_by_one = inherit(inherit(a, b, new_id), c, new_id)

    assert one_by_one == inherit(a, inherit(b, c, new_id), new_id)


@given(stacks, layers)
def test_an_id_is_in_force_only_with_a_name(parent: Annotations, child: Annotations) -> None:
    result = inherit(parent, child, new_id)

    assert result.use_case_name is not None or result.use_case_id is None


@given(stacks, layers)
def test_what_a_layer_names_is_in_force_inside_it(parent: Annotations, child: Annotations) -> None:
    result = inherit(parent, child, new_id)

    for name in ("user_id", "account_name", "session_id", "price_as_category", "resource_scope"):
        if value := getattr(child, name):
            assert getattr(result, name) == value
    assert set(child.limit_ids or ()) <= set(result.limit_ids or ())
    assert dict(child.request_properties or {}).items() <= dict(result.request_properties or {}).items()


def test_annotations_and_contexts_can_be_copied_and_pickled() -> None:
    annotations = Annotations(user_id="alice", limit_ids=("a",), request_properties={"plan": "pro"})
    assert copy.deepcopy(annotations) is annotations
    assert pickle.loads(pickle.dumps(annotations)) == annotations
