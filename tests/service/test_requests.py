"""Requests from YAML, from folders, and what is refused, in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgps.errors import RequestError
from sgps.service.requests import SynthesisRequest


def fields(**changes: Any) -> dict[str, Any]:
    classes = [{"name": "a", "images": ["a.png"]}, {"name": "b", "images": ["b.png"]}]
    return {"task": "t", "requester": "r", "purpose": "p", "classes": classes} | changes


def refused(**changes: Any) -> str:
    with pytest.raises(RequestError) as caught:
        SynthesisRequest.parse(fields(**changes))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    return str(caught.value)


def test_a_task_file_is_read(task_file: Path) -> None:
    request = SynthesisRequest.from_yaml(task_file)
    assert request.task == "Skin marks"
    assert request.folder == task_file.parent
    assert [item.name for item in request.classes] == ["melanoma", "naevus"]
    assert request.classes[0].description == "Asymmetric,\nseveral colours."
    assert request.classes[0].images == ("melanoma/0.png", "melanoma/1.png")
    assert request.classes[1].description == ""


def test_arguments_replace_what_the_file_says(task_file: Path) -> None:
    request = SynthesisRequest.from_yaml(task_file, requester="Eve", default_requester="login")
    assert request.requester == "Eve"
    assert SynthesisRequest.from_yaml(task_file, default_requester="x").requester == "Dr. Ada"


def test_the_default_requester_is_taken_where_nobody_is_named(task_file: Path) -> None:
    task_file.write_text(task_file.read_text().replace("requester: Dr. Ada\n", ""))
    assert SynthesisRequest.from_yaml(task_file, default_requester="login").requester == "login"
    with pytest.raises(RequestError, match="requester: missing"):
        SynthesisRequest.from_yaml(task_file)


def test_a_folder_becomes_a_request(task_folder: Path) -> None:
    request = SynthesisRequest.from_folder(task_folder, "Dr. Ada", "study")
    assert request.task == "Skin marks"
    assert [item.name for item in request.classes] == ["melanoma", "naevus", "wart"]
    assert request.classes[0].description == "Asymmetric, several colours."
    assert request.classes[2].images == ("wart/0.png", "wart/1.png")


def test_descriptions_may_stand_beside_the_class_folders(task_folder: Path) -> None:
    (task_folder / "descriptions.yaml").write_text("wart: Rough.\nnaevus: Even brown.\n")
    request = SynthesisRequest.from_folder(task_folder, "Dr. Ada", "study", task="Marks")
    assert request.task == "Marks"
    assert [item.description for item in request.classes][1:] == ["Even brown.", "Rough."]


def test_a_class_described_twice_is_refused(task_folder: Path) -> None:
    (task_folder / "descriptions.yaml").write_text("melanoma: Dark.\n")
    with pytest.raises(RequestError, match="also described"):
        SynthesisRequest.from_folder(task_folder, "r", "p")


def test_a_description_of_an_unknown_class_is_refused(task_folder: Path) -> None:
    (task_folder / "descriptions.yaml").write_text("melonoma: Dark.\n")
    with pytest.raises(RequestError, match="no class folder 'melonoma'"):
        SynthesisRequest.from_folder(task_folder, "r", "p")


def test_a_class_folder_without_images_is_named(task_folder: Path) -> None:
    for file in (task_folder / "wart").iterdir():
        file.unlink()
    with pytest.raises(RequestError, match="wart: a class without images"):
        SynthesisRequest.from_folder(task_folder, "r", "p")


def test_an_image_outside_the_class_folders_is_refused(task_folder: Path) -> None:
    (task_folder / "stray.png").write_bytes(b"x")
    with pytest.raises(RequestError, match="outside the class folders"):
        SynthesisRequest.from_folder(task_folder, "r", "p")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no such folder"):
        SynthesisRequest.from_folder(tmp_path / "nowhere", "r", "p")


def test_the_record_does_not_tell_where_the_folder_is(task_file: Path) -> None:
    record = SynthesisRequest.from_yaml(task_file).to_record()
    assert list(record) == ["task", "requester", "purpose", "legal_basis", "classes"]
    assert str(task_file.parent) not in str(record)


def test_fields_are_named() -> None:
    assert (
        refused(task="")
        == "task: 0 characters; expected at least 1 characters; write something there"
    )
    assert refused(task="x" * 121).startswith("task: 121 characters; expected at most 120")
    assert refused(requester=None).startswith("requester: not text but NoneType")
    assert refused(task=2024).startswith("task: not text but int; expected text")
    assert refused(purpos="x").startswith("purpos: unknown field")
    assert refused(folder="/etc").startswith("folder: unknown field")
    assert refused(purpose="x" * 1_001).startswith("purpose: 1,001 characters")
    assert refused(classes="a, b").startswith("classes: ")


def test_fields_of_classes_are_named() -> None:
    one = {"name": "a", "images": ["a.png"]}
    assert refused(classes=[one]).startswith("classes: 1 classes; expected at least 2")
    many = [one | {"name": f"c{number}"} for number in range(21)]
    assert refused(classes=many).startswith("classes: 21 classes; expected at most 20")
    empty = {"name": "b", "images": []}
    assert refused(classes=[one, empty]).startswith("classes[1].images: 0 images; expected at")
    crowded = {"name": "b", "images": [f"{n}.png" for n in range(65)]}
    assert refused(classes=[one, crowded]).startswith("classes[1].images: 65 images")
    nameless = {"images": ["b.png"]}
    assert refused(classes=[one, nameless]).startswith("classes[1].name: missing")
    number = {"name": "b", "images": ["b.png"], "description": 5}
    assert refused(classes=[one, number]).startswith("classes[1].description: not text but int")
    assert "classes[1].name: 'A' is also classes[0].name" in refused(
        classes=[one, {"name": " A", "images": ["b.png"]}]
    )


@pytest.mark.parametrize("text", ["a\nb", "a\x00b", "a\x1bb", "a\u202eb", "a\u2028b", "a\x7fb"])
def test_a_title_holds_no_control_characters(text: str) -> None:
    assert "task: control character U+" in refused(task=text)


@pytest.mark.parametrize("text", ["a\x00b", "a\u2066b", "a\x0bb"])
def test_a_description_holds_line_ends_but_no_control_characters(text: str) -> None:
    good = {"name": "a", "images": ["a.png"], "description": "one\r\ntwo\tthree"}
    bad = {"name": "b", "images": ["b.png"], "description": text}
    assert "classes[1].description: control character" in refused(classes=[good, bad])
    request = SynthesisRequest.parse(fields(classes=[good, bad | {"description": ""}]))
    assert request.classes[0].description == "one\ntwo\tthree"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"task: [", "line 1"),
        (b"- a\n- b\n", "no mapping"),
        (b"", "holds nothing"),
        (b"task: a\ntask: b\n", "'task' stands twice"),
        (b"task: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
        (b"\xff\xfe\x00task", "not UTF-8"),
        (b"[" * 50_000, "nested too deeply"),
        (b"1: a", "no mapping of names"),
        (b"task: 2020-13-45", "month must be in"),
    ],
)
def test_a_file_that_is_no_task_is_refused_in_one_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "task.yaml"
    path.write_bytes(content)
    with pytest.raises(RequestError, match=message) as caught:
        SynthesisRequest.from_yaml(path)
    assert "\n" not in str(caught.value)
    assert "task.yaml" in str(caught.value)


def test_a_file_of_more_than_one_megabyte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "task.yaml"
    path.write_text("task: " + "x" * 1_000_000)
    with pytest.raises(RequestError, match="at most 1,000,000 bytes"):
        SynthesisRequest.from_yaml(path)


@pytest.mark.parametrize("path", ["missing.yaml", "."])
def test_a_file_that_is_not_there(tmp_path: Path, path: str) -> None:
    with pytest.raises(RequestError, match="no such file"):
        SynthesisRequest.from_yaml(tmp_path / path)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
def test_whatever_a_field_holds_is_accepted_or_refused_in_one_line(value: Any) -> None:
    for name in ("task", "classes", "purpose"):
        messages = []
        try:
            SynthesisRequest.parse(fields(**{name: value}))
        except RequestError as error:
            messages.append(str(error))
        assert not any("\n" in message for message in messages)


def test_persons_are_one_for_each_image(task_file: Path) -> None:
    fields = SynthesisRequest.from_yaml(task_file).to_record()
    fields["classes"][0]["persons"] = ["p1", ""]
    request = SynthesisRequest.parse(fields)
    assert request.classes[0].persons == ("p1", "")
    assert request.legal_basis == "not stated"
    fields["classes"][0]["persons"] = ["p1"]
    with pytest.raises(RequestError, match=r"classes\[0\]\.persons: 1 for 2 images"):
        SynthesisRequest.parse(fields)
