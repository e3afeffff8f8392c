"""Data sets as data: which files they are made of, where these come from, how they are read and split.

A data set is a folder `datasets/<id>/` with a `source.toml` (a `DataSet`), a card `README.md`, and, once somebody has
recorded what the files hold, a generated `lock.json` (a `Lock`). Protocols and preparations name data sets by id.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints, model_validator

from harness.spec.base import Document, Grown, Sha256, Slug, Spec
from harness.spec.base import SafePath as SafePath
from harness.spec.benchmark import unique
from harness.spec.parts import Part
from harness.spec.products import Product
from harness.spec.readers import Reader

Access = Literal["open", "account", "form"]
"""open: anybody may fetch it. account: its origin asks for a login. form: its origin asks for a request or licence."""

Md5 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]


class HubFile(Spec):
    """A file of a repository on the Hugging Face Hub. Without a revision it is looked up when the file is locked."""

    kind: Literal["hub"]
    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    file: SafePath
    repo_type: Literal["dataset", "model"] = "dataset"
    revision: Commit | None = None


class ZenodoFile(Spec):
    """A file of a Zenodo record: records are immutable, but only a sha256 proves it.

    Without `file`, the only one of the record.
    """

    kind: Literal["zenodo"]
    record: int = Field(ge=1)
    file: SafePath | None = None


class UrlFile(Spec):
    """A file at a plain address."""

    kind: Literal["url"]
    url: str = Field(pattern=r"^https?://")


class PackageFile(Spec):
    """A file inside an installed Python package."""

    kind: Literal["package"]
    package: str
    file: SafePath


class OwnFile(Spec):
    """A file or folder that users must get themselves (an account, a form, a licence) and name with `--from`."""

    kind: Literal["own"]
    page: str = Field(pattern=r"^https?://", description="where it can be asked for")


Origin = Annotated[HubFile | ZenodoFile | UrlFile | PackageFile | OwnFile, Field(discriminator="kind")]


class Archive(Spec):
    """What a folder is made of, as it is released: users may give this file in place of the folder.

    unpack: tar, zip, or `tars`, a tar that holds one tar a class, which becomes a folder of its name.
    """

    path: SafePath
    bytes: int | None = Field(default=None, ge=0)
    sha256: Sha256
    md5: Md5 | None = None
    unpack: Literal["tar", "zip", "tars"]


class SourceFile(Grown):
    """One file of a data set, or a whole folder that a user has (origin `own` with `folder = true`).

    path: its name inside the data set's folder. mirrors: where the same bytes can be had if the origin does not give them,
    in the order in which they are tried; only for files with a digest. md5: as its origin publishes it, checked beside the
    sha256; where no sha256 is public, it locks the file until the first fetch has recorded the sha256. digests: where the
    digests were published. sha256_begins: its first digits, where no more is public; checked, but no lock. unpack: an archive whose members are laid into the folder `into`; the archive itself is then
    not kept. members: patterns, as in a shell, of the members of a zip that are wanted, by name with or without folders; only
    these are fetched, by ranges of bytes. What is recorded of such a file is one sha256 over the names and contents of these
    members; its md5 is checked where users give the whole archive. member_digests: sha256 of members, by name. unpacked: a
    folder of its members that users may give in its place; no digest proves it. holds: how many files of a folder the data set's reader reads. like: where there is no reader, a pattern
    of file names, as in a shell, of which a folder has at least one. archive: see `Archive`.
    """

    later: ClassVar[frozenset[str]] = frozenset({"members", "member_digests"})

    path: SafePath
    origin: Origin
    mirrors: tuple[Origin, ...] = ()
    bytes: int | None = Field(default=None, ge=0, description="size, exact; None where nobody has recorded it")
    about_bytes: int | None = Field(default=None, ge=0, description="rough size, for plans, where the exact is unknown")
    sha256: Sha256 | None = None
    sha256_begins: str | None = Field(default=None, pattern=r"^[0-9a-f]{8,63}$")
    md5: Md5 | None = None
    unpack: Literal["tar", "zip", "gzip"] | None = None
    into: SafePath | None = None
    members: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    member_digests: dict[SafePath, Sha256] = Field(default_factory=dict)
    unpacked: SafePath | None = None
    folder: bool = False
    digests: str = Field(default="", description="where sha256 and md5 were published")
    holds: int | None = Field(default=None, ge=1)
    like: str | None = Field(default=None, min_length=1)
    archive: Archive | None = None

    @model_validator(mode="after")
    def _folders_are_the_users(self) -> SourceFile:
        if self.folder and (self.origin.kind != "own" or self.unpack is not None or self.sha256 is not None):
            raise ValueError(f"{self.path}: a folder has the origin `own`, no sha256 and nothing to unpack")
        if self.into is not None and self.unpack is None:
            raise ValueError(f"{self.path}: `into` belongs to files that are unpacked")
        if self.unpacked is not None and self.unpack is None:
            raise ValueError(f"{self.path}: `unpacked` belongs to files that are unpacked")
        if not self.folder and any(each is not None for each in (self.holds, self.like, self.archive)):
            raise ValueError(f"{self.path}: `holds`, `like` and `archive` belong to folders")
        if self.mirrors and not (self.sha256 or self.md5):
            raise ValueError(f"{self.path}: mirrors need a sha256 or md5, which proves that they give the same file")
        return self

    @model_validator(mode="after")
    def _members_are_of_a_zip(self) -> SourceFile:
        if self.member_digests and not self.members:
            raise ValueError(f"{self.path}: `member_digests` belong to `members`")
        if not self.members:
            return self
        if self.unpack != "zip" or self.unpacked is not None or not isinstance(self.origin, ZenodoFile | UrlFile):
            raise ValueError(f"{self.path}: `members` belong to a zip at an address or of a Zenodo record")
        if self.bytes is not None or self.sha256 is not None or self.sha256_begins is not None or self.mirrors:
            raise ValueError(
                f"{self.path}: of single members no size or digest of the whole archive is checked; give `member_digests`"
            )
        if stray := [name for name in self.member_digests if not self.wants(name)]:
            raise ValueError(f"{self.path}: no pattern of `members` fits {stray[0]}, for which there is a digest")
        return self

    def wants(self, member: str) -> bool:
        """Whether a member of the archive is laid out."""
        names = (member, PurePosixPath(member).name)
        return not self.members or any(fnmatchcase(name, pattern) for name in names for pattern in self.members)

    @property
    def archive_name(self) -> str:
        """What the archive that its members come from is called at its origin."""
        where = self.origin.url if isinstance(self.origin, UrlFile) else getattr(self.origin, "file", None)
        return PurePosixPath((where or self.path).partition("?")[0]).name

    def as_folder(self) -> SourceFile:
        """The folder that users may give in place of an archive."""
        unproven = dict.fromkeys(("bytes", "sha256", "md5", "unpack", "into", "unpacked"))
        return self.model_copy(update={**unproven, "path": self.unpacked, "folder": True})


class DataSet(Document):
    """A data set, or released artefacts (weights, maps, scores): `datasets/<id>/source.toml`.

    reader: how the files become samples; None for artefacts that other code reads. parts: named selections of samples,
    such as train and test. products: files in the form that protocols read, made from the parts by
    `harness data prepare`.
    """

    id: Slug
    title: str
    licence: str
    citation: Annotated[tuple[str, ...], Field(min_length=1)]
    homepage: str = ""
    access: Access = "open"
    terms: str = Field(default="", description="what must be accepted or asked for, in a sentence")
    files: Annotated[tuple[SourceFile, ...], Field(min_length=1)]
    reader: Reader | None = None
    parts: dict[Slug, Part] = Field(default_factory=dict)
    products: tuple[Product, ...] = ()
    notes: str = ""

    @model_validator(mode="after")
    def _names_agree(self) -> DataSet:
        unique([file.path for file in self.files], "file")
        unique([product.path for product in self.products], "product")
        for product in self.products:
            for name in product.parts:
                if name not in self.parts:
                    raise ValueError(f"product {product.path} is made of the part {name!r}, which is not defined")
        if self.parts and self.reader is None:
            raise ValueError("parts need a reader")
        return self

    @model_validator(mode="after")
    def _files_lie_apart(self) -> DataSet:
        """Nothing may be laid below a file, nor into a folder of the user's."""
        for outer in self.files:
            for file in self.files:
                if file.path.startswith(f"{outer.path}/"):
                    raise ValueError(f"{file.path} would lie inside {outer.path}")
                if outer.folder and file.into and f"{file.into}/".startswith(f"{outer.path}/"):
                    raise ValueError(f"{file.path} would be unpacked into {outer.path}, a folder of the user's")
        return self


class LockedFile(Spec):
    """What a file was when it was recorded; of a folder, one sha256 over the names and contents of all its files."""

    sha256: Sha256
    bytes: int = Field(ge=0)
    revision: Commit | None = Field(default=None, description="of the Hub's repository")


class Lock(Document):
    """`lock.json`: generated by `harness data lock`, never edited.

    files: by path; parts: sha256 over the sorted-in-order sample ids and labels of each part, so that a split is pinned too.
    """

    dataset: Slug
    files: dict[str, LockedFile]
    parts: dict[Slug, Sha256] = Field(default_factory=dict)
