"""The API server's JSON, as far as it is read. Everything else in an object is dropped while it is parsed."""

from datetime import datetime
from typing import Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Wire(BaseModel):
    """Names are Kubernetes' in camelCase."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


class ObjectMeta(Wire):
    name: str
    uid: str
    resource_version: str
    creation_timestamp: datetime
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class ListMeta(Wire):
    resource_version: str


class StatusDetails(Wire):
    kind: str = ""


class Status(Wire):
    """meta/v1 Status: the body of every error, and the object of a watch's ERROR event."""

    code: int = 0
    reason: str = ""
    message: str = ""
    details: StatusDetails | None = None

    @property
    def missing(self) -> str:
        """For a 404: the resource that is not there; `namespaces` when it is not the object itself."""
        return self.details.kind if self.details is not None else ""


class Object(Wire):
    metadata: ObjectMeta


ObjectT = TypeVar("ObjectT", bound=Object)


class ObjectList(Wire, Generic[ObjectT]):
    metadata: ListMeta
    items: list[ObjectT]


class Changed(Wire, Generic[ObjectT]):
    type: Literal["ADDED", "MODIFIED", "DELETED"]
    object: ObjectT


class Marked(Wire):
    metadata: ListMeta


class Bookmark(Wire):
    type: Literal["BOOKMARK"]
    object: Marked


class Broken(Wire):
    """The last line of a watch that cannot go on: most often 410, the resourceVersion has expired."""

    type: Literal["ERROR"]
    object: Status
