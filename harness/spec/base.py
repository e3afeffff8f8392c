"""What all specifications share: frozen, closed models of plain data."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    model_serializer,
)

SLUG, SHA256 = r"^[a-z0-9][a-z0-9._-]{0,79}$", r"^[0-9a-f]{64}$"

Slug = Annotated[str, StringConstraints(pattern=SLUG)]
"""A name that is safe as a folder name and in an address: lower case, digits, `.`, `_`, `-`."""


def _stays_inside(path: str) -> str:
    if any(part in ("", ".", "..") for part in path.split("/")) or any(sign in path for sign in "\\\0"):
        raise ValueError(f"{path!r} is not a plain relative path, such as images/train.zip")
    return path


SafePath = Annotated[str, AfterValidator(_stays_inside)]
"""A relative path that stays inside its folder."""

Sha256 = Annotated[str, StringConstraints(pattern=SHA256)]


class Spec(BaseModel):
    """A frozen piece of plain data. Unknown fields are an error, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    def canonical(self) -> dict[str, Any]:
        """The model as JSON-ready data: what ids are computed from (`storage.content_id`)."""
        return self.model_dump(mode="json")


class Grown(Spec):
    """A specification that gained fields, `later`, after protocols with it were released.

    They are no part of its plain data while they have their defaults, so that the hashes of these protocols stay.
    """

    later: ClassVar[frozenset[str]]

    @model_serializer(mode="wrap")
    def _without_unused(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        unused = {name for name in self.later if getattr(self, name) == fields[name].default}
        return {name: value for name, value in plain(self).items() if name not in unused}


class Document(Spec):
    """A specification that is stored in a file of its own, so it says how it is to be read."""

    schema_version: Literal[1] = Field(default=1, description="version of the file's layout")
