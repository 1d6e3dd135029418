"""What can be downloaded: places that publish checkpoints, their records, and the files in those."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from helpers.download.network import Network
from helpers.support.errors import InputError

MOST_PAGES = 100  # of a listing
REPOSITORY = r"[A-Za-z0-9_][\w.-]*/[A-Za-z0-9_][\w.-]*"  # on Hugging Face: owner and name
ANY_REPOSITORY = "OWNER/NAME"  # a name that stands for all of them
GIT_OBJECT = r"[0-9a-f]{40}"
LICENCES = {  # identifier in the metadata: its usual name, and what it means
    "cc-by-nc-sa-4.0": ("CC BY-NC-SA 4.0", "name the authors, not for commerce, share alike"),
    "cc-by-nc-4.0": ("CC BY-NC 4.0", "name the authors, not for commerce"),
    "cc-by-4.0": ("CC BY 4.0", "free to use and pass on, with its authors' names"),
    "apache-2.0": ("Apache 2.0", "free to use and pass on, with its notices"),
    "mit": ("MIT", "free to use and pass on, with its notice"),
}


@dataclass(frozen=True)
class RemoteFile:
    """A file of a record: `size` in bytes, `checksum` as the record gives it.

    "md5:HEX", "sha256:HEX", or "git:HEX": the name that git has for a small file, the SHA-1 of length and
    content.
    """

    name: str
    url: str
    size: int
    checksum: str | None
    members: tuple[str, ...] = ()  # when it is an archive: what to take out of it


@dataclass(frozen=True)
class Record:
    """What one name downloads: the files of a complete checkpoint directory."""

    name: str
    licence: str | None  # identifier from the metadata
    files: tuple[RemoteFile, ...]


def remote_file(path: str, url: str, size: int, checksum: str | None) -> RemoteFile:
    """One metadata entry, refused when its path could lead out of the download directory."""
    hostile = not path.isprintable() or "\\" in path or ":" in path
    if hostile or any(step in ("", ".", "..") for step in path.split("/")):
        raise InputError(f"the record lists a file with the unsafe name {path!r}; nothing is taken from it.")
    if not isinstance(url, str) or type(size) is not int or size <= 0 or not isinstance(checksum, str | None):
        raise InputError(f"the record gives no usable address, size or checksum for {path}; try again later.")
    return RemoteFile(PurePosixPath(path).name, url, size, checksum)


def zenodo(network: Network, record: str) -> tuple[list[RemoteFile], str | None]:
    """The files of a Zenodo record, and the identifier of its licence."""
    data, _ = network.json(f"{network.zenodo.rstrip('/')}/api/records/{record}")
    files = [remote_file(f["key"], f["links"]["self"], f["size"], f.get("checksum")) for f in data["files"]]
    return files, (data["metadata"].get("license") or {}).get("id")


def hugging_face(network: Network, repository: str) -> tuple[dict[str, RemoteFile], str | None]:
    """The files of a Hugging Face repository by their paths in it, and the identifier of its licence."""
    base = network.hugging_face.rstrip("/")
    card, _ = network.json(f"{base}/api/models/{repository}")
    url: str | None = f"{base}/api/models/{repository}/tree/main?recursive=true"
    found = {}
    for _ in range(MOST_PAGES):
        if not url:
            break
        entries, url = network.json(url)
        for entry in entries:
            if entry["type"] == "file":
                path = entry["path"]
                address = f"{base}/{repository}/resolve/main/{quote(path)}"
                found[path] = remote_file(path, address, entry["size"], _checksum(entry))
    return found, (card.get("cardData") or {}).get("license")


def _checksum(entry: dict) -> str | None:
    """Of a repository's file: large-file storage names it by its SHA-256, git by a SHA-1."""
    large, small = (entry.get("lfs") or {}).get("oid"), entry.get("oid")
    if large:
        return f"sha256:{large}"
    return f"git:{small}" if isinstance(small, str) and re.fullmatch(GIT_OBJECT, small) else None


def _nothing(directory: Path) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True)
class Source:
    """A place that publishes checkpoints, and the names under which they can be downloaded from it.

    named_in: what a downloaded directory only names and needs too: a directory below it, and a name to
    download into that.
    """

    names: tuple[str, ...]  # one that ends in NAME stands for all that begin like it
    page: str
    files: tuple[str, ...]  # what a name brings, as far as known without asking
    unnamed_licence: str  # what is known of it where the place names none
    read: Callable[[Network, str | None], list[Record]]  # of a name, or of all that are listed
    named_in: Callable[[Path], Mapping[str, str]] = _nothing

    def offers(self, name: str) -> bool:
        """Whether a name is one of this place's."""
        if ANY_REPOSITORY in self.names and re.fullmatch(REPOSITORY, name, re.ASCII):
            return True
        open_ended = [known.removesuffix("NAME") for known in self.names if known.endswith("NAME")]
        return name in self.names or any(name.startswith(beginning) for beginning in open_ended)

    def records(self, network: Network, name: str | None = None) -> list[Record]:
        """What the place offers now, from its metadata; at least `name`. Raises InputError."""
        try:
            return self.read(network, name)
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"the metadata of {self.page} has an unknown form; download by hand.") from error


def licence_of(record: Record, source: "Source") -> str:
    if not isinstance(record.licence, str) or not record.licence:
        return source.unnamed_licence
    name, meaning = LICENCES.get(record.licence.lower(), (record.licence, "read its terms before use"))
    return f"{name} ({meaning})"


def brings(file: RemoteFile) -> tuple[str, ...]:
    """Names of the files it leaves in the directory."""
    return file.members or (file.name,)
