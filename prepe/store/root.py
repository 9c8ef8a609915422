"""What names a store, a folder or a bucket's URI; where it is when nobody says, and where what must be local goes."""

import os
import re
from pathlib import Path

from prepe.errors import PrepeError

Root = str | os.PathLike[str]
"""A store: the path of its folder, or the text `s3://BUCKET/PREFIX` or `gs://BUCKET/PREFIX`."""

_REMOTE = re.compile(r"(?P<kind>[a-z][a-z0-9+.-]+)://(?P<path>.*)", re.DOTALL)
_KINDS = ("s3", "gs")


def default_root(results: Root | None = None) -> Root:
    """Return the store named, else the one in the variable PREPE_RESULTS, else `results` in the working directory.

    Returns:
        A `Path`, or the URI of a bucket as text.

    Raises:
        PrepeError: it is a URI, and not one of a bucket.
    """
    named = os.fspath(results or os.environ.get("PREPE_RESULTS") or "results")
    found = _REMOTE.fullmatch(named)
    if not found:
        return Path(named)
    path, mark, options = found["path"].partition("?")
    bucket, *prefix = path.split("/")
    prefix = [part for part in prefix if part]
    if set("@:") & set(path) or "@" in options:
        raise PrepeError(
            f"store {found['kind']}://...: '@' or ':' stands in its name, as before a password, which logs would show; "
            "allowed: without, and credentials in variables, in their files or by the machine's role"
        )
    if found["kind"] not in _KINDS or not bucket or set(prefix) & {".", ".."}:
        raise PrepeError(
            f"store {found['kind']}://{path}: it cannot be used; allowed: a folder, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX"
        )
    return f"{found['kind']}://{'/'.join([bucket, *prefix])}{mark}{options}"


def is_remote(root: Root) -> bool:
    """Say whether a store is in a bucket."""
    return isinstance(root, str) and root.startswith(tuple(f"{kind}://" for kind in _KINDS))


def absolute(root: Root) -> Root:
    """Return a store's name that means the same in any working directory."""
    return root if is_remote(root) else Path(root).resolve()


def local_folder(root: Root) -> Path:
    """Return the folder for what must be on a local disk: journals, locks, scratch, and figures.

    That is the store's own folder; for a store in a bucket, one in the cache of this machine's user
    (`$XDG_CACHE_HOME/prepe`, else `~/.cache/prepe`), which is named after it and may not exist yet.
    """
    if not is_remote(root):
        return Path(root)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "prepe" / re.sub(r"[^A-Za-z0-9.-]+", "-", os.fspath(root).partition("?")[0])
