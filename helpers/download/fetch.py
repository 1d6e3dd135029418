"""Downloads: resumable, checked against the record's own checksums, never half-written.

Sizes and checksums are read from a record's metadata at download time; none is written down here.
"""

import glob
import hashlib
import os
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from tqdm import tqdm

from helpers.download.network import Network, TryAgain
from helpers.download.records import Record, RemoteFile, Source, brings, licence_of
from helpers.support.errors import InputError, plain
from helpers.support.files import read_json, sha256, write_json, written_whole
from helpers.support.tables import megabytes

CHECKSUM = r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}|git:[0-9a-f]{40}"


def _sources_of(sources: Sequence[Source], name: str | None) -> list[Source]:
    if name is None:
        return list(sources)
    found = [source for source in sources if source.offers(name)][:1]
    if not found:
        known = ", ".join(known for source in sources for known in source.names)
        raise InputError(f"there is no download called {name!r}; choose one of {known}.")
    return found


def available(sources: Sequence[Source], name: str | None = None, network: Network | None = None) -> str:
    """A listing to print: names, files, sizes and licence of what can be downloaded (only `name`, if given).

    A place that cannot be reached is listed by its built-in names, with the reason.
    Raises InputError for an unknown name.
    """
    network = network or Network()
    lines = []
    for source in _sources_of(sources, name):
        lines.append(source.page)
        try:
            records = source.records(replace(network, tries=min(2, network.tries)), name)
        except InputError as error:
            lines.append(f"  (files and sizes are not known now: {error})")
            lines += [f"  {known:20s} {', '.join(source.files)}" for known in source.names]
            continue
        if name is not None:
            records = [_named(name, records, source)]
        lines.append(f"  licence: {licence_of(records[0], source)}" if records else "  (nothing to download)")
        for record in records:
            files = ", ".join(f"{' + '.join(brings(file))} {megabytes(file.size)}" for file in record.files)
            lines.append(f"  {record.name:20s} {files}")
    return "\n".join(map(plain, lines))


def _named(name: str, records: list[Record], source: Source) -> Record:
    for record in records:
        if record.name == name:
            return record
    names = ", ".join(record.name for record in records) or "nothing that can be used"
    raise InputError(f"{source.page} has no {name}; it has {names}.")


def download(
    sources: Sequence[Source],
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
    NAME.CHECKSUM.part stays, and the same call goes on from it. What a checkpoint only names comes too, into
    directories below (unless `files` are picked). Raises InputError.
    """
    network, directory = network or Network(), Path(directory)
    [source] = _sources_of(sources, name)
    paths = _download(source, name, directory, files, progress, network)
    for below, other in source.named_in(directory).items() if files is None else ():
        [its] = _sources_of(sources, other)
        paths += _download(its, other, directory / below, None, progress, network)
    return paths


def _download(
    source: Source,
    name: str,
    directory: Path,
    files: Iterable[str] | None,
    progress: bool | None,
    network: Network,
) -> list[Path]:
    record = _named(name, source.records(network, name), source)
    chosen = _choose(record, files)
    paths = [directory / brought for file in chosen for brought in brings(file)]
    try:
        missing = [file for file in chosen if not _is_there(file, directory)]
        if not missing:
            tqdm.write(plain(f"{name} is already in {directory}, with the right checksums"))
            return paths
        _need_space(directory, sum(_bytes_to_come(file, directory) for file in missing))
        tqdm.write(plain(f"{name} from {source.page}: {megabytes(sum(file.size for file in missing))}"))
        tqdm.write(plain(f"licence of these weights: {licence_of(record, source)}"))
        directory.mkdir(parents=True, exist_ok=True)
        for file in missing:
            _fetch(file, directory, network, progress)
    except OSError as error:
        raise InputError(f"cannot use {error.filename or directory}: {error.strerror or error}.") from error
    return paths


def _choose(record: Record, names: Iterable[str] | None) -> list[RemoteFile]:
    """The record's files that bring `names`; each must have a checksum in the metadata."""
    offered = [name for file in record.files for name in brings(file)]
    wanted = offered if names is None else list(names)
    for name in wanted:
        if name not in offered:
            raise InputError(f"{record.name} has no {name}; it has {', '.join(offered)}.")
    chosen = [file for file in record.files if set(brings(file)) & set(wanted)]
    chosen = [replace(file, members=tuple(m for m in file.members if m in wanted)) for file in chosen]
    for file in chosen:
        if not re.fullmatch(CHECKSUM, file.checksum or ""):
            raise InputError(f"{file.name} is refused: the record gives no checksum to check it by.")
    return chosen


def _checksum(path: Path, algorithm: str) -> str:
    """The file's checksum in the record's spelling."""
    digest = hashlib.new("sha1" if algorithm == "git" else algorithm, usedforsecurity=False)
    if algorithm == "git":
        digest.update(b"blob %d\0" % path.stat().st_size)
    with open(path, "rb") as file:
        hashlib.file_digest(file, lambda: digest)
    return f"{algorithm}:{digest.hexdigest()}"


def _expected(file: RemoteFile, directory: Path) -> dict[str, str]:
    """Checksum of each path that `file` brings, as far as known: an archive's members once taken out."""
    if not file.members:
        return {file.name: file.checksum}
    note = directory / f"{file.name}.json"
    try:
        noted = read_json(note)
        members = dict(noted["members"]) if noted["archive"] == file.checksum else {}
        return {name: known for name, known in members.items() if re.fullmatch(CHECKSUM, known)}
    except (OSError, ValueError, KeyError, TypeError):  # no note, or not ours: nothing is known
        return {}


def _is_there(file: RemoteFile, directory: Path) -> bool:
    """Whether everything `file` brings is in `directory`; InputError when something else is in its place."""
    expected = _expected(file, directory)
    for name in brings(file):
        path = directory / name
        if not path.exists():
            continue
        known = expected.get(name, "")
        if not path.is_file() or not known or _checksum(path, known.partition(":")[0]) != known:
            raise InputError(
                f"{path} is not the record's file (wrong checksum); move it away or use another directory."
            )
    return all((directory / name).exists() for name in brings(file))


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
        have = f"{megabytes(needed)} needed, {megabytes(free)} free"
        raise InputError(f"not enough space for {directory}: {have}; make room or use another directory.")


def _fetch(file: RemoteFile, directory: Path, network: Network, progress: bool | None) -> None:
    """Bring `file` into `directory`: fill the part, check it, put it (or what it holds) in its place."""
    part = _part(file, directory)
    for old in directory.glob(f"{glob.escape(file.name)}.*.part"):
        if old != part:
            tqdm.write(plain(f"{old} is part of another version of {file.name}; starting over"))
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
            tqdm.write(plain(f"stopped; {kept}"))
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
