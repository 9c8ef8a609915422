"""Names of files below a store in; their bytes in or out, on a local disk and in a bucket alike.

A file appears whole or not at all. On a disk it is written in `<root>/.tmp`, synced and then moved. In a bucket it is
one upload of a finished buffer, which the service shows when it is complete. A bucket that does not answer is waited
for (see `patience`).
"""

import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa
from pyarrow import fs

from prepe.errors import PrepeError
from prepe.store.patience import first_line, patiently
from prepe.store.root import Root, is_remote

_T = TypeVar("_T")
_TEMPORARY = ".tmp"
_LEFT_BEHIND_S = 24 * 3600
_LOCAL = fs.LocalFileSystem()
_CONNECT_S, _ANSWER_S, _ATTEMPTS = 5, 20, 3
_OPTIONS = ("endpoint_override", "region", "scheme")


def opened(root: Root) -> tuple[fs.FileSystem, str]:
    """Return the file system that a store is in, and the store's path there.

    Credentials are found as the services' own tools find them: variables, their files, the machine's role. An S3 server
    of one's own is named by AWS_ENDPOINT_URL, or in the URI: `s3://bucket/prefix?endpoint_override=http://host:port`.

    Raises:
        PrepeError: the URI has options that there are not.
    """
    return _bucket(os.fspath(root)) if is_remote(root) else (_LOCAL, os.fspath(root))


@cache
def _bucket(uri: str) -> tuple[fs.FileSystem, str]:
    parts = urlsplit(uri)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    unknown = sorted(set(options) - set(_OPTIONS if parts.scheme == "s3" else _OPTIONS[:1]))
    if unknown:
        raise PrepeError(f"store {uri.partition('?')[0]}: no such option {unknown[0]}; allowed: {', '.join(_OPTIONS)}")
    path = f"{parts.netloc}{parts.path}"
    try:
        if parts.scheme == "gs":
            return fs.GcsFileSystem(retry_time_limit=timedelta(seconds=_ANSWER_S), **options), path
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        if endpoint:
            options.setdefault("endpoint_override", endpoint)
        elif not {"endpoint_override", "region"} & set(options) and not os.environ.get("AWS_DEFAULT_REGION"):
            with suppress(OSError):  # not to be had: what fails next says so
                options["region"] = patiently(uri, "opened", lambda: fs.resolve_s3_region(parts.netloc))
        return fs.S3FileSystem(
            connect_timeout=_CONNECT_S,
            request_timeout=_ANSWER_S,
            retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
            allow_delayed_open=True,  # one PUT where the content is small
            **options,
        ), path
    except (pa.ArrowException, OSError, TypeError) as error:
        raise PrepeError(f"store {uri}: cannot be opened: {first_line(error)}") from error


def place(root: Root, *names: str) -> str:
    """Return how a file of a store is called in messages and by other programs: its path, or its URI."""
    if not is_remote(root):
        return os.path.join(root, *names)
    uri, mark, options = os.fspath(root).partition("?")
    return "/".join((uri, *names)) + mark + options


def place_in(system: fs.FileSystem, path: str) -> str:
    """Return how a file of a file system that `opened` gave is called in messages."""
    return path if isinstance(system, fs.LocalFileSystem) else f"{system.type_name.replace('gcs', 'gs')}://{path}"


def listed(root: Root, folder: str) -> list[str]:
    """Return the names of a folder's files in order, without those that begin with `.` or `_`.

    Raises:
        PrepeError: it cannot be listed; one that does not exist is empty.
    """
    return sorted(name for name in (_remote_names if is_remote(root) else _local_names)(root, folder))


def _local_names(root: Root, folder: str) -> list[str]:
    path = os.path.join(root, folder)
    try:
        with os.scandir(path) as entries:
            return [entry.name for entry in entries if not entry.name.startswith((".", "_"))]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise PrepeError(f"{path}: cannot be listed: {error.strerror}") from error


def _remote_names(root: Root, folder: str) -> list[str]:
    return [name for name in sizes(root, folder) if "/" not in name and not name.startswith((".", "_"))]


def sizes(root: Root, folder: str = "", *, recursive: bool = False) -> dict[str, int]:
    """Return the files below a folder, by their path there, with their sizes in bytes; hidden ones too.

    Raises:
        PrepeError: it cannot be listed.
    """
    system, path = opened(root)
    above = f"{path}/{folder}".rstrip("/")
    selected = fs.FileSelector(above, recursive=recursive, allow_not_found=True)
    found = asked(root, (folder,), "listed", lambda: system.get_file_info(selected))
    return {
        str(PurePosixPath(each.path).relative_to(above)): each.size for each in found if each.type == fs.FileType.File
    }


def state(root: Root, *names: str) -> tuple[int, int] | None:
    """Return a file's size and when it was written, in nanoseconds since 1970; None if it is not there.

    Raises:
        PrepeError: the store does not answer.
    """
    system, path = opened(root)
    (info,) = asked(root, names, "looked at", lambda: system.get_file_info(["/".join((path, *names))]))
    return (info.size, info.mtime_ns) if info.type == fs.FileType.File else None


def is_there(root: Root, *names: str) -> bool:
    """Say whether a store has a file of this name.

    Raises:
        PrepeError: the bucket does not answer.
    """
    if not is_remote(root):
        return os.path.isfile(os.path.join(root, *names))
    return state(root, *names) is not None


def put(root: Root, names: tuple[str, ...], content: pa.Buffer | bytes) -> None:
    """Make a file of a store, whole or not at all, in place of any of the same name.

    Raises:
        PrepeError: it cannot be written; nothing is left behind, and what was there before stays.
    """
    (_upload if is_remote(root) else _write)(root, names, content)


def _write(root: Root, names: tuple[str, ...], content: pa.Buffer | bytes) -> None:
    path = Path(root, *names)
    temporary = Path(root) / _TEMPORARY / f"{'-'.join(names)}.{os.getpid()}-{secrets.token_hex(4)}"
    try:
        _make(path.parent)
        _make(temporary.parent)
        _clean(temporary.parent)
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        raise PrepeError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _upload(root: Root, names: tuple[str, ...], content: pa.Buffer | bytes) -> None:
    system, path = opened(root)

    def upload() -> None:
        with system.open_output_stream("/".join((path, *names))) as stream:
            stream.write(content)  # the service takes all of it or none; what is there now may be another writer's

    asked(root, names, "written", upload)


def get(root: Root, *names: str) -> bytes | None:
    """Return the content of a file of a store, or None if there is none.

    Raises:
        PrepeError: it cannot be read.
    """
    system, path = opened(root)

    def download() -> bytes | None:
        try:
            with system.open_input_file("/".join((path, *names))) as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            return None

    return asked(root, names, "read", download)


def remove(root: Root, *names: str) -> None:
    """Remove a file of a store, if it is there.

    Raises:
        PrepeError: it cannot be removed.
    """
    system, path = opened(root)

    def delete() -> None:
        with suppress(FileNotFoundError):
            system.delete_file("/".join((path, *names)))

    asked(root, names, "removed", delete)


def move(root: Root, source: tuple[str, ...], target: tuple[str, ...]) -> None:
    """Move a file within a store, in place of any of the name; in a bucket it is copied first and then removed.

    Raises:
        PrepeError: it cannot be moved.
    """
    system, path = opened(root)
    old, new = "/".join((path, *source)), "/".join((path, *target))
    if is_remote(root):
        asked(root, source, "moved", lambda: system.copy_file(old, new))
        remove(root, *source)
        return

    def rename() -> None:
        _make(Path(new).parent)
        with suppress(FileNotFoundError):
            system.move(old, new)

    asked(root, source, "moved", rename)


def asked(root: Root, names: tuple[str, ...], what: str, act: Callable[[], _T]) -> _T:
    """Do something to a file or folder of a store, and return what that gives; a bucket is waited for.

    Args:
        root: the store.
        names: what it is done to, by its path below the store.
        what: what is to become of it, such as `"read"`.
        act: does it, and may be done any number of times.

    Raises:
        PrepeError: it cannot be done.
    """
    try:
        return patiently(place(root, *names), what, act)
    except (pa.ArrowException, OSError) as error:
        raise PrepeError(f"{place(root, *names)}: cannot be {what}: {first_line(error)}") from error


def _clean(folder: Path) -> None:
    """Remove what writers that were killed left in a folder more than a day ago."""
    for left in folder.iterdir():
        with suppress(FileNotFoundError):  # another writer was faster
            if time.time() - left.stat().st_mtime > _LEFT_BEHIND_S:
                left.unlink()


def _make(folder: Path) -> None:
    """Make a folder and those above it, each so that it outlives a power cut."""
    if not folder.is_dir():
        _make(folder.parent)
        with suppress(FileExistsError):
            folder.mkdir()
        _sync(folder.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
