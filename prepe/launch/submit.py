"""Sweep files and the address of a running cluster in; a job there that runs them, and its log followed, out.

The job carries this package, the sweep files and what they name; its workers write into a store that all of them see.
The driver is the job, on the cluster: whoever submitted it may leave.
"""

import asyncio
import logging
import os
import re
import shlex
import shutil
import socket
import tempfile
import time
import tomllib
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from prepe.errors import PrepeError
from prepe.store import patience, provenance

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

_IN_A_FOLDER_OF_ITS_OWN = """d=$(mktemp -d) && cp -R . "$d" && cd "$d" && trap 'cd / && rm -rf "$d"' EXIT && """
"""Ray may put a job's own folder anew under it, where several nodes are one machine."""
_PACKAGE = Path(__file__).resolve().parents[1]
_POLL_S = 1.0
_READY_S = 60.0
_ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
_CODES = {"SUCCEEDED": 0, "FAILED": 1, "STOPPED": 130}


class Job:
    """A job of a cluster.

    Attributes:
        name: the cluster's name for it.
        address: of the cluster's dashboard.
        results: the store, by a name that means the same everywhere.
    """

    def __init__(self, client: "JobSubmissionClient", name: str, address: str, results: str) -> None:
        self._client, self.name, self.address, self.results = client, name, address, results

    def follow(self) -> int:
        """Print the job's log until it ends, and return its exit code.

        Raises:
            PrepeError: the cluster does not answer any more, which leaves the job as it is.
            KeyboardInterrupt: Ctrl-C, which does so too.
        """
        from aiohttp import ClientError

        try:
            asyncio.run(self._tail())
        except (RuntimeError, OSError, ClientError) as error:  # the connection; the status says whether the job did
            print(f"the log cannot be followed any further: {error}", flush=True)
        while True:
            try:
                info = self._client.get_job_info(self.name)
            except (RuntimeError, OSError) as error:
                said = f"the cluster does not answer any more: {_first_line(error)}"
                raise PrepeError(f"{self.address}: {said}; job {self.name} goes on without this") from None
            if info.status in _ENDED:
                code = getattr(info, "driver_exit_code", None)
                return _CODES[str(info.status.value)] if code is None else int(code)
            time.sleep(_POLL_S)

    async def _tail(self) -> None:
        async for lines in self._client.tail_job_logs(self.name):
            print(lines, end="", flush=True)


def submit(
    address: str,
    files: Mapping[Path, list[str]],
    options: list[str],
    results: str | None,
) -> Job:
    """Start a job that runs sweep files on a cluster.

    Args:
        address: of the cluster's dashboard, as `http://HOST:8265`.
        files: sweep files, each with the users' own functions that it calls, as `package.module:function`.
        options: of `prepe run`, without `--results`.
        results: the store that the job writes into.

    Raises:
        PrepeError: no cluster can be reached there; the store is not one that it sees, or has a password in its name;
            or a file that has to be carried is not there.
    """
    _use_token()
    from ray.job_submission import JobSubmissionClient

    for each in ("dashboard_sdk", "job.sdk"):  # they tell of every upload
        logging.getLogger(f"ray.dashboard.modules.{each}").setLevel(logging.WARNING)
    address = address if "://" in address else f"http://{address}"
    shown = _without_password(address)
    try:
        client = JobSubmissionClient(address)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise PrepeError(
            f"--submit {shown}: no cluster takes jobs there: {_first_line(error)}; allowed: http://HOST:8265 of its "
            "dashboard, to which `ray dashboard FILE` makes a way"
        ) from None
    root = _shared(results, address)
    with tempfile.TemporaryDirectory(prefix="prepe-submit-") as folder:
        names = [_carried(file, calls, Path(folder)) for file, calls in files.items()]
        command = ["python", "-m", "prepe.cli", "run", *names, "--address", "auto", "--results", root, *options]
        stem = re.sub(r"[^A-Za-z0-9-]", "-", Path(names[0]).stem)
        given = {
            "entrypoint": _IN_A_FOLDER_OF_ITS_OWN + shlex.join(command),
            "submission_id": f"prepe-{stem}-{uuid.uuid4().hex[:6]}",
            "runtime_env": {
                "working_dir": folder,
                "py_modules": [str(_PACKAGE)],
                "excludes": ["__pycache__"],
                "env_vars": {
                    "PYTHONUNBUFFERED": "1",
                    "PREPE_COMMIT": provenance.git_commit() or "",
                    patience.VARIABLE: str(patience.patience_s()),
                },
            },
        }
        try:
            name = _submitted(client, given)
        except RuntimeError as error:
            raise PrepeError(f"--submit {shown}: the cluster refuses the job: {_first_line(error)}") from None
    return Job(client, name, shown, root)


def _submitted(client: "JobSubmissionClient", given: dict[str, Any]) -> str:
    """Submit a job and return its name; a cluster that has just been started is not ready for one at once.

    Raises:
        RuntimeError: the cluster refuses it.
    """
    deadline = time.monotonic() + _READY_S
    while True:
        try:
            return client.submit_job(**given)
        except RuntimeError as error:
            if "try again later" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(_POLL_S)


def _use_token() -> None:
    """Show the cluster the token that this user has, if there is one: Ray itself does so only where it is told to."""
    given = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if given or Path("~/.ray/auth_token").expanduser().is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _shared(results: str | None, address: str) -> str:
    """Return the name of a store by which the cluster finds it.

    Raises:
        PrepeError: it does not, or the name has a password in it, which the cluster would show.
    """
    allowed = "allowed: --results s3://BUCKET/FOLDER, gs://BUCKET/FOLDER, or an absolute path that all its nodes have"
    named = results or os.environ.get("PREPE_RESULTS") or "results"
    if "://" in named:
        if "@" in urlsplit(named).netloc:
            raise PrepeError(
                f"--results {_without_password(named)}: it has a password in it, which the dashboard and logs of the "
                "cluster would show; allowed: without, the nodes having a role, variables or a file of credentials"
            )
        return named
    if Path(named).is_absolute():
        return named
    if not _is_here(address):
        raise PrepeError(f"--results {named}: a folder of this machine, which the cluster does not see; {allowed}")
    return str(Path(named).resolve())


def _is_here(address: str) -> bool:
    """Say whether all nodes of a cluster are this machine; a local address alone may lead anywhere."""
    if urlsplit(address).hostname not in ("localhost", "127.0.0.1", "::1", socket.gethostname()):
        return False
    from ray._private.services import get_node_ip_address
    from ray.util.state import list_nodes

    try:
        nodes = list_nodes(address=address, filters=[("state", "=", "ALIVE")], timeout=10)
    except Exception:  # whatever it is that keeps the cluster from saying where it is
        return False
    ours = {"127.0.0.1", get_node_ip_address()}
    return bool(nodes) and all(each.node_ip in ours for each in nodes)


def _carried(file: Path, calls: list[str], folder: Path) -> str:
    """Copy a sweep file into the job's folder with its dopesheets and its user's modules; return its name there.

    Raises:
        PrepeError: two files have one name, or what the file names lies elsewhere.
    """
    if (folder / file.name).exists():
        raise PrepeError(f"{file}: another sweep file of this name is submitted with it; allowed: different names")
    shutil.copy(file, folder / file.name)
    for sheet in _dopesheets(tomllib.loads(file.read_text(encoding="utf-8"))):
        target = (folder / sheet).resolve()
        if not target.is_relative_to(folder.resolve()):
            raise PrepeError(f"{file}: dopesheet {sheet} lies outside of its folder; allowed to submit: below it")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file.parent / sheet, target)
    for top in sorted({call.partition(":")[0].partition(".")[0] for call in calls}):
        sources = [where / name for where in (file.parent, Path()) for name in (f"{top}.py", top)]
        found = next((each for each in sources if each.exists()), None)
        if found is None:  # one that is installed here has to be installed there
            continue
        if found.is_dir():
            shutil.copytree(found, folder / top, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(found, folder / found.name)
    return file.name


def _dopesheets(table: Any) -> Iterator[str]:
    """Give the path of every dopesheet that a sweep file names, wherever in it."""
    if isinstance(table, dict):
        for key, value in table.items():
            if key == "dopesheet" and isinstance(value, str):
                yield value
            else:
                yield from _dopesheets(value)


def _without_password(address: str) -> str:
    """Return an address without the user and password that it may have."""
    return re.sub(r"(?<=://)[^/@]*@", "", address)


def _first_line(error: Exception) -> str:
    return _without_password(str(error).strip().partition("\n")[0])
