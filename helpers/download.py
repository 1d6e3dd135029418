"""Download VampNet checkpoints: resumable, checked against the record's own checksums, never half-written.

Two places publish them: a Zenodo record (the base model; the files themselves, or one archive that holds
them) and a Hugging Face repository (the same base model, and fine-tunes under `loras/NAME/`). Sizes and
checksums are read from their metadata at download time; none is written down here.
"""

import contextlib
import glob
import hashlib
import json
import os
import re
import shutil
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TypeVar
from urllib.parse import quote, urlsplit

import requests
from tqdm import tqdm

from helpers.support.errors import InputError
from helpers.support.files import sha256, write_json, written_whole

ZENODO_RECORD = "8136629"
REPOSITORY = "hugggof/vampnet"
CHECKPOINTS = ("codec.pth", "coarse.pth", "c2f.pth")  # wavebeat.pth is left out: nothing here uses it
LICENCES = {  # identifier in the metadata: its usual name, and what it means
    "cc-by-nc-sa-4.0": ("CC BY-NC-SA 4.0", "name the authors, not for commerce, share alike"),
    "cc-by-nc-4.0": ("CC BY-NC 4.0", "name the authors, not for commerce"),
}
NO_LICENCE = "none named there; VampNet's authors put its weights and their fine-tunes under CC BY-NC-SA 4.0"
REFUSED_ADDRESS = (
    requests.exceptions.InvalidSchema,  # a redirect to anything but http and https
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidURL,
    requests.exceptions.TooManyRedirects,
)
T = TypeVar("T")


class TryAgain(Exception):
    """A try failed in a way that may pass. `wait`: seconds the server asked for."""

    def __init__(self, what: str, wait: float = 0.0):
        super().__init__(what)
        self.wait = wait


@dataclass(frozen=True)
class RemoteFile:
    """A file of a record: `size` in bytes, `checksum` "md5:HEX" or "sha256:HEX" as the record gives it."""

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


@dataclass(frozen=True)
class Network:
    """Where to ask and how patiently; times in seconds. Mirrors can be named in the environment."""

    zenodo: str = field(default_factory=lambda: os.environ.get("ZENODO_ENDPOINT", "https://zenodo.org"))
    hugging_face: str = field(default_factory=lambda: os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    tries: int = 5  # in a row without getting `headway` further
    headway: int = 2**20  # bytes
    wait: float = 1.0  # before the second try; doubles each time
    longest_wait: float = 60.0
    chunk: int = 2**16  # bytes read at a time: at most this much is lost when a connection is cut

    @contextlib.contextmanager
    def request(self, url: str, headers: dict[str, str]) -> Iterator[requests.Response]:
        """Yield the streamed answer, also while its body is read; every failure is TryAgain or InputError."""
        host = urlsplit(url).netloc
        headers = {"Accept-Encoding": "identity"} | headers  # so that lengths count the file's own bytes
        timeout = (self.connect_timeout, self.read_timeout)
        try:
            with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
                self._check_status(response, host)
                yield response
        except REFUSED_ADDRESS as error:
            raise InputError(f"{host} leads to a refused address ({error}); try again later.") from error
        except requests.exceptions.SSLError as error:
            raise InputError(f"no secure connection to {host}; check the clock and the proxy.") from error
        except requests.RequestException as error:
            if "Max retries" in str(error):  # how the library words "no connection was made"
                raise TryAgain(f"{host} cannot be reached") from error
            if "timed out" in str(error):
                raise TryAgain(f"{host} stalled: nothing came for {self.read_timeout:g} s") from error
            raise TryAgain(f"{host} cut the connection") from error

    def _check_status(self, response: requests.Response, host: str) -> None:
        status = response.status_code
        if status in (200, 206, 416):
            return
        if status == 429:
            asked = response.headers.get("Retry-After", "")
            wait = float(asked) if asked.isdigit() else 0.0
            raise TryAgain(f"{host} limits how often one may ask (429)", wait)
        url = response.url.partition("?")[0]  # without the long signature of a storage server
        if status == 408 or status >= 500:
            raise TryAgain(f"{host} is out of order or busy ({status})")
        if status in (401, 403, 404, 410):
            raise InputError(f"{url} is gone or not public ({status}); look for it in a browser.")
        raise InputError(f"{host} answered {status} for {url}; try again later.")

    def persist(self, attempt: Callable[[], T], advice: str, reached: Callable[[], int] = lambda: 0) -> T:
        """Return `attempt()`, tried again after TryAgain; `reached()` tells how many bytes have arrived."""
        failures, furthest = 0, reached()
        while True:
            try:
                return attempt()
            except TryAgain as error:
                failures += 1
                if reached() >= furthest + self.headway:
                    failures, furthest = 1, reached()
                pause = max(error.wait, min(self.wait * 2 ** (failures - 1), self.longest_wait))
                if failures >= self.tries or pause > self.longest_wait:
                    later = f" It asks to wait {error.wait:g} s." if error.wait else ""
                    raise InputError(f"{error} (tries in a row: {failures}).{later} {advice}") from error
                tqdm.write(f"{error}; trying again in {pause:g} s")
                time.sleep(pause)

    def json(self, url: str) -> tuple[object, str | None]:
        """The JSON at `url`, and the address of the next page if the answer has one."""

        def attempt() -> tuple[bytes, str | None]:
            with self.request(url, {}) as response:
                return response.content, response.links.get("next", {}).get("url")

        body, following = self.persist(attempt, "Check the network and run the command again.")
        try:
            return json.loads(body), following
        except ValueError as error:
            raise InputError(
                f"{url} gave no metadata (a sign-in page of this network?); open it in a browser."
            ) from error


def _remote_file(path: str, url: str, size: int, checksum: str | None) -> RemoteFile:
    """One metadata entry, refused when its path could lead out of the download directory."""
    hostile = not path.isprintable() or "\\" in path or ":" in path
    if hostile or any(step in ("", ".", "..") for step in path.split("/")):
        raise InputError(f"the record lists a file with the unsafe name {path!r}; nothing is taken from it.")
    if not isinstance(url, str) or type(size) is not int or size <= 0:
        raise InputError(f"the record gives no address or size for {path}; try again later.")
    return RemoteFile(PurePosixPath(path).name, url, size, checksum)


def _zenodo(network: Network) -> list[Record]:
    """The Zenodo record: the checkpoints one by one, or out of the one archive it holds."""
    data, _ = network.json(f"{network.zenodo.rstrip('/')}/api/records/{ZENODO_RECORD}")
    files = [_remote_file(f["key"], f["links"]["self"], f["size"], f.get("checksum")) for f in data["files"]]
    licence = (data["metadata"].get("license") or {}).get("id")
    chosen = [file for file in files if file.name in CHECKPOINTS]
    archives = [file for file in files if file.name.endswith(".zip")]
    if not chosen and len(archives) == 1:
        chosen = [replace(archives[0], members=CHECKPOINTS)]
    return [Record("vampnet", licence, tuple(chosen))] if chosen else []


def _hugging_face(network: Network) -> list[Record]:
    """The Hugging Face repository: base model at its root, fine-tunes in directories under `loras`."""
    base = network.hugging_face.rstrip("/")
    card, _ = network.json(f"{base}/api/models/{REPOSITORY}")
    licence = (card.get("cardData") or {}).get("license")
    url: str | None = f"{base}/api/models/{REPOSITORY}/tree/main?recursive=true"
    directories: dict[str, dict[str, RemoteFile]] = {}
    while url:
        entries, url = network.json(url)
        for entry in entries:
            path = entry["path"]
            if entry["type"] == "file" and path.endswith(".pth"):
                oid = (entry.get("lfs") or {}).get("oid")  # large-file storage names a file by its SHA-256
                address = f"{base}/{REPOSITORY}/resolve/main/{quote(path)}"
                file = _remote_file(path, address, entry["size"], f"sha256:{oid}" if oid else None)
                directories.setdefault(path.rpartition("/")[0], {})[file.name] = file
    root = {name: file for name, file in directories.pop("", {}).items() if name in CHECKPOINTS}
    codec = {"codec.pth": root["codec.pth"]} if "codec.pth" in root else {}
    found = {REPOSITORY: root} if root else {}
    # A fine-tune has no codec of its own; with the base model's it is a directory that can be exported.
    found |= {name: codec | directories[name] for name in sorted(directories) if name.startswith("loras/")}
    return [Record(name, licence, tuple(files.values())) for name, files in found.items()]


@dataclass(frozen=True)
class Source:
    """A place that publishes checkpoints, and the names under which they can be downloaded from it."""

    names: tuple[str, ...]
    page: str
    read: Callable[[Network], list[Record]]

    def offers(self, name: str) -> bool:
        return name in self.names or (name.startswith("loras/") and "loras/NAME" in self.names)

    def records(self, network: Network) -> list[Record]:
        """What the place offers now, from its metadata. Raises InputError."""
        try:
            return self.read(network)
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"the metadata of {self.page} has an unknown form; download by hand.") from error


def sources() -> tuple[Source, ...]:
    """The places to download from; needs no network."""
    return (
        Source(("vampnet",), f"https://zenodo.org/records/{ZENODO_RECORD}", _zenodo),
        Source((REPOSITORY, "loras/NAME"), f"https://huggingface.co/{REPOSITORY}", _hugging_face),
    )


def _sources_of(name: str | None) -> list[Source]:
    found = [source for source in sources() if name is None or source.offers(name)]
    if not found:
        known = ", ".join(known for source in sources() for known in source.names)
        raise InputError(f"there is no download called {name!r}; choose one of {known}.")
    return found


def available(name: str | None = None, network: Network | None = None) -> str:
    """A listing to print: names, files, sizes and licence of what can be downloaded (only `name`, if given).

    A place that cannot be reached is listed by its built-in names, with the reason.
    Raises InputError for an unknown name.
    """
    network = network or Network()
    lines = []
    for source in _sources_of(name):
        lines.append(source.page)
        try:
            records = source.records(replace(network, tries=min(2, network.tries)))
        except InputError as error:
            lines.append(f"  (files and sizes are not known now: {error})")
            lines += [f"  {known:20s} {', '.join(CHECKPOINTS)}" for known in source.names]
            continue
        if name is not None:
            records = [_named(name, records, source)]
        lines.append(f"  licence: {_licence(records[0])}" if records else "  (nothing to download)")
        for record in records:
            files = ", ".join(f"{' + '.join(_brings(file))} {_megabytes(file.size)}" for file in record.files)
            lines.append(f"  {record.name:20s} {files}")
    return "\n".join(lines)


def _named(name: str, records: list[Record], source: Source) -> Record:
    for record in records:
        if record.name == name:
            return record
    names = ", ".join(record.name for record in records) or "nothing that can be used"
    raise InputError(f"{source.page} has no {name}; it has {names}.")


def _licence(record: Record) -> str:
    if not record.licence:
        return NO_LICENCE
    name, meaning = LICENCES.get(record.licence.lower(), (record.licence, "read its terms before use"))
    return f"{name} ({meaning})"


def _brings(file: RemoteFile) -> tuple[str, ...]:
    """Names of the files it leaves in the directory."""
    return file.members or (file.name,)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def download(
    name: str,
    directory: str | os.PathLike,
    *,
    files: Iterable[str] | None = None,
    progress: bool | None = None,
    network: Network | None = None,
) -> list[Path]:
    """Download the checkpoints called `name` into `directory` and return their paths.

    `files` picks some by name (default: all). `progress`: None shows bars on a terminal only. What is there
    already with the right checksum is not fetched again. When the download is stopped, a file called
    NAME.CHECKSUM.part stays, and the same call goes on from it. Raises InputError.
    """
    network = network or Network()
    directory = Path(directory)
    [source] = _sources_of(name)
    record = _named(name, source.records(network), source)
    chosen = _choose(record, files)
    paths = [directory / brought for file in chosen for brought in _brings(file)]
    try:
        missing = [file for file in chosen if not _is_there(file, directory)]
        if not missing:
            tqdm.write(f"{name} is already in {directory}, with the right checksums")
            return paths
        _need_space(directory, sum(_bytes_to_come(file, directory) for file in missing))
        tqdm.write(f"{name} from {source.page}: {_megabytes(sum(file.size for file in missing))}")
        tqdm.write(f"licence of these weights: {_licence(record)}")
        directory.mkdir(parents=True, exist_ok=True)
        for file in missing:
            _fetch(file, directory, network, progress)
    except OSError as error:
        raise InputError(f"cannot use {error.filename or directory}: {error.strerror or error}.") from error
    return paths


def _choose(record: Record, names: Iterable[str] | None) -> list[RemoteFile]:
    """The record's files that bring `names`; each must have a checksum in the metadata."""
    offered = [name for file in record.files for name in _brings(file)]
    wanted = offered if names is None else list(names)
    for name in wanted:
        if name not in offered:
            raise InputError(f"{record.name} has no {name}; it has {', '.join(offered)}.")
    chosen = [file for file in record.files if set(_brings(file)) & set(wanted)]
    chosen = [replace(file, members=tuple(m for m in file.members if m in wanted)) for file in chosen]
    for file in chosen:
        if not re.fullmatch(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", file.checksum or ""):
            raise InputError(f"{file.name} is refused: the record gives no checksum to check it by.")
    return chosen


def _checksum(path: Path, algorithm: str) -> str:
    """The file's checksum in the record's spelling."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False))
    return f"{algorithm}:{digest.hexdigest()}"


def _expected(file: RemoteFile, directory: Path) -> dict[str, str]:
    """Checksum of each path that `file` brings, as far as known: an archive's members once taken out."""
    if not file.members:
        return {file.name: file.checksum}
    note = directory / f"{file.name}.json"
    try:
        noted = json.loads(note.read_text(encoding="utf-8"))
        return noted["members"] if noted["archive"] == file.checksum else {}
    except (OSError, ValueError, KeyError, TypeError):  # no note, or not ours: nothing is known
        return {}


def _is_there(file: RemoteFile, directory: Path) -> bool:
    """Whether everything `file` brings is in `directory`; InputError when something else is in its place."""
    expected = _expected(file, directory)
    for name in _brings(file):
        path = directory / name
        if not path.exists():
            continue
        known = expected.get(name, "")
        if not path.is_file() or not known or _checksum(path, known.partition(":")[0]) != known:
            raise InputError(
                f"{path} is not the record's file (wrong checksum); move it away or use another directory."
            )
    return all((directory / name).exists() for name in _brings(file))


def _part(file: RemoteFile, directory: Path) -> Path:
    """Where `file` grows. Its checksum is in the name: a part of another version is never continued."""
    return directory / f"{file.name}.{file.checksum.partition(':')[2][:12]}.part"


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _bytes_to_come(file: RemoteFile, directory: Path) -> int:
    unpacked = file.size if file.members else 0  # weights hardly compress
    return max(0, file.size - _length(_part(file, directory))) + unpacked


def _need_space(directory: Path, needed: int) -> None:
    existing = next(place for place in (directory, *directory.absolute().parents) if place.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        have = f"{_megabytes(needed)} needed, {_megabytes(free)} free"
        raise InputError(f"not enough space for {directory}: {have}; make room or use another directory.")


def _fetch(file: RemoteFile, directory: Path, network: Network, progress: bool | None) -> None:
    """Bring `file` into `directory`: fill the part, check it, put it (or what it holds) in its place."""
    part = _part(file, directory)
    for old in directory.glob(f"{glob.escape(file.name)}.*.part"):
        if old != part:
            tqdm.write(f"{old} is part of another version of {file.name}; starting over")
            old.unlink()
    kept = f"what has arrived is kept in {part}; the same command goes on from there"
    disable = None if progress is None else not progress
    try:
        with tqdm(total=file.size, desc=file.name, unit="B", unit_scale=True, disable=disable) as bar:
            advice = f"Check the network; {kept}."
            network.persist(lambda: _append(file, part, network, bar), advice, reached=lambda: _length(part))
        if _checksum(part, file.checksum.partition(":")[0]) != file.checksum:
            part.unlink()
            raise InputError(f"{file.name} came with a wrong checksum and was deleted; download it again.")
        if file.members:
            _unpack(file, part, directory)
        else:
            os.replace(part, directory / file.name)
    except KeyboardInterrupt:
        if part.exists():
            tqdm.write(f"stopped; {kept}")
        raise
    except OSError as error:
        raise InputError(f"cannot write {part}: {error.strerror or error}; {kept}.") from error


def _append(file: RemoteFile, part: Path, network: Network, bar: tqdm) -> None:
    """Ask for what `part` lacks and append it; TryAgain when the answer ends early."""
    have = _length(part)
    if have > file.size:
        part.unlink()
        have = 0
    if have == file.size:
        return
    changed = InputError(f"{file.url} is not the file the record describes (other size); try again later.")
    with network.request(file.url, {"Range": f"bytes={have}-"} if have else {}) as response:
        if response.status_code == 416:
            part.unlink(missing_ok=True)
            raise TryAgain(f"{urlsplit(file.url).netloc} cannot go on with {file.name}, so it starts over")
        if response.status_code == 206:
            span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
            if not span or int(span[1]) != have or span[2] not in (str(file.size), "*"):
                raise changed
        else:  # the whole file, whether or not the rest of it was asked for
            if response.headers.get("Content-Length", str(file.size)) != str(file.size):
                raise changed
            have = 0
        with open(part, "ab" if have else "wb") as out:
            bar.update(have - bar.n)
            for data in response.iter_content(network.chunk):
                if have + len(data) > file.size:
                    raise changed
                out.write(data)
                have += len(data)
                bar.update(len(data))
    if have < file.size:
        raise TryAgain(f"{urlsplit(file.url).netloc} cut the connection")


def _unpack(file: RemoteFile, part: Path, directory: Path) -> None:
    """Take the wanted members out of a checked archive, note their checksums, and delete the archive."""
    members = _expected(file, directory)
    try:
        with zipfile.ZipFile(part) as archive:
            inside = {PurePosixPath(info.filename).name: info for info in archive.infolist()}
            absent = [name for name in file.members if name not in inside]
            if absent:
                raise InputError(f"{file.name} holds no {absent[0]}; look at it by hand: {part}")
            _need_space(directory, sum(inside[name].file_size for name in file.members))
            for name in file.members:
                with written_whole(directory / name) as temporary:
                    with archive.open(inside[name]) as packed, open(temporary, "wb") as out:
                        shutil.copyfileobj(packed, out, 2**20)
                members[name] = f"sha256:{sha256(directory / name)}"
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{part} has the right checksum but cannot be unpacked: {error}.") from error
    write_json(directory / f"{file.name}.json", {"archive": file.checksum, "members": members})
    part.unlink()
