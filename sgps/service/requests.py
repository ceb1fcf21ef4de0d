"""What a synthesis may be asked for: fields, limits and files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from sgps.errors import RequestError
from sgps.service._request_files import descriptions_of, images_of, read_request_file
from sgps.service._text_rules import one_line, several_lines
from sgps.synthesizer.task import MAX_WAYS, MIN_WAYS

MAX_SHOTS = 64
UNSTATED = "not stated"

Title = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120),
    AfterValidator(one_line),
]  # fmt: skip
ClassName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80),
    AfterValidator(one_line),
]  # fmt: skip
Purpose = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1_000),
    AfterValidator(several_lines),
]  # fmt: skip
Description = Annotated[
    str, StringConstraints(strip_whitespace=True), AfterValidator(several_lines)
]  # fmt: skip
LegalBasis = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1_000),
    AfterValidator(several_lines),
]  # fmt: skip
Person = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=120), AfterValidator(one_line)
]  # fmt: skip
ImagePath = Annotated[
    str, BeforeValidator(lambda value: str(value) if isinstance(value, Path) else value),
    StringConstraints(min_length=1, max_length=4_096), AfterValidator(one_line),
]  # fmt: skip


class ClassRequest(BaseModel):
    """One class: a name, a clinical description ("" where there is none), 1 to 64 image files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassName = Field(description="Name of the class, unique within the task.")
    description: Description = Field(default="", description="How the class looks, in words.")
    images: tuple[ImagePath, ...] = Field(
        min_length=1, max_length=MAX_SHOTS, description="Image files, relative to the folder."
    )
    persons: tuple[Person, ...] = Field(
        default=(), description="A pseudonym of the person in each image, or nothing at all."
    )


class SynthesisRequest(BaseModel):
    """A request for a classifier; immutable, and valid in form once it exists.

    What depends on the machine (the files, the longest text accepted) is checked by
    :func:`sgps.service.synthesis.check_request`.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "description": "A classifier for two or more classes, from one or more images of each. "
            "The image files lie on the machine that runs the deployment."
        },
    )

    task: Title = Field(description="Title of the task; tasks of one title share a model.")
    requester: Title = Field(description="Who asks.")
    purpose: Purpose = Field(description="Why the classifier is wanted.")
    legal_basis: LegalBasis = Field(
        default=UNSTATED, description="What allows the use of the images, such as a consent."
    )
    classes: tuple[ClassRequest, ...] = Field(
        min_length=MIN_WAYS, max_length=MAX_WAYS, description="What to tell apart."
    )
    folder: Path = Field(default=Path(), description="Folder of relative image paths.")

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        first: dict[str, int] = {}
        for index, item in enumerate(self.classes):
            other = first.setdefault(item.name.casefold(), index)
            if other != index:
                raise RequestError(
                    f"classes[{index}].name: {item.name!r} is also classes[{other}].name",
                    expected="unique class names",
                    remedy="rename or merge the classes",
                )
        return self

    @model_validator(mode="after")
    def _check_persons(self) -> Self:
        for index, item in enumerate(self.classes):
            if item.persons and len(item.persons) != len(item.images):
                raise RequestError(
                    f"classes[{index}].persons: {len(item.persons)} for {len(item.images)} images",
                    expected="one for each image, or none at all",
                    remedy="add or remove some",
                )
        return self

    @classmethod
    def parse(cls, fields: Mapping[str, Any], *, folder: Path = Path()) -> SynthesisRequest:
        """Check ``fields`` (task, requester, purpose, classes) and make a request of them.

        Raises
        ------
        RequestError: in one line, the first field that is wrong, what was expected, what to do.
        """
        if "folder" in fields:
            raise RequestError("folder: unknown field", remedy="remove it")
        try:
            return cls.model_validate({**fields, "folder": folder})
        except ValidationError as error:
            raise _request_error(error) from error

    @classmethod
    def from_yaml(
        cls,
        path: Path,
        *,
        task: str | None = None,
        requester: str | None = None,
        purpose: str | None = None,
        default_requester: str | None = None,
    ) -> SynthesisRequest:
        """Read a task file of at most 1 MB; image paths are relative to its folder.

        ``task``, ``requester`` and ``purpose`` replace what the file says;
        ``default_requester`` is taken where neither says who asks.

        Raises
        ------
        RequestError: the file cannot be read, is no YAML mapping, or a field is wrong.
        """
        fields = read_request_file(path)
        given = {"task": task, "requester": requester, "purpose": purpose}
        fields |= {name: value for name, value in given.items() if value is not None}
        if default_requester is not None:
            fields.setdefault("requester", default_requester)
        return cls.parse(fields, folder=path.absolute().parent)

    @classmethod
    def from_folder(
        cls, path: Path, requester: str, purpose: str, *, task: str | None = None
    ) -> SynthesisRequest:
        """Make a request of a folder with a sub-folder a class; the task is the folder's name.

        A class is described by ``description.txt`` in its folder, or in ``descriptions.yaml``
        (class: text) beside the class folders. Hidden, ``.txt`` and ``.yaml`` files are no images;
        every other file of a class folder is taken for one.

        Raises
        ------
        RequestError: there is no such folder, or what it holds makes no request.
        """
        folder = path.absolute()
        images = images_of(folder)
        texts = descriptions_of(folder, tuple(images))
        classes = [
            {"name": name, "description": texts.get(name, ""), "images": files}
            for name, files in images.items()
        ]
        fields = {"requester": requester, "purpose": purpose, "classes": classes}
        return cls.parse(fields | {"task": task or folder.name}, folder=folder)

    def to_record(self) -> dict[str, Any]:
        """The request as asked, JSON-able; without the folder, which only this machine knows."""
        return self.model_dump(mode="json", exclude={"folder"})


def _request_error(error: ValidationError) -> RequestError:
    first = error.errors(include_url=False)[0]
    field = ""
    for part in first["loc"]:
        field += f"[{part}]" if isinstance(part, int) else f".{part}" if field else str(part)
    kind, context = first["type"], first.get("ctx", {})
    if kind == "missing":
        return RequestError(f"{field}: missing", remedy=f"add {field}")
    if kind == "extra_forbidden":
        return RequestError(f"{field}: unknown field", remedy="remove it or correct its spelling")
    if kind in ("string_too_short", "string_too_long"):
        bound = f"at least {context['min_length']}" if "min_length" in context else ""
        bound = bound or f"at most {context['max_length']}"
        length = len(str(first["input"]).strip())
        return RequestError(
            f"{field}: {length:,} characters",
            expected=f"{bound} characters",
            remedy="shorten it" if "max_length" in context else "write something there",
        )
    if kind in ("too_short", "too_long"):
        bound = f"at least {context['min_length']}" if kind == "too_short" else ""
        bound = bound or f"at most {context['max_length']}"
        noun = "images" if field.endswith("images") else "classes"
        return RequestError(
            f"{field}: {context['actual_length']} {noun}",
            expected=f"{bound} {noun}",
            remedy=f"{'add' if kind == 'too_short' else 'remove'} {noun}",
        )
    if kind == "string_type":
        given = type(first["input"]).__name__
        return RequestError(
            f"{field}: not text but {given}", expected="text", remedy="put it in quotes"
        )
    if kind == "value_error":
        return RequestError(f"{field}: {context['error']}", remedy="remove them")
    return RequestError(f"{field or 'request'}: {first['msg']}")
