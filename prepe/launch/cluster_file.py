"""A file for Ray's cluster launcher in; what is wrong with it, without asking any cloud, a line a finding, out.

Ray's own schema comes first; then what it misses, and what a cloud would say late and in other words, or never.
"""

import contextlib
import io
import logging
import platform
import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import jsonschema
import ray
import yaml
from click import ClickException
from ray.autoscaler._private.util import prepare_config, validate_config

from prepe.errors import PrepeError
from prepe.launch.cloud_keys import EC2, GCP

_SHOWN_KEYS = 12
_NEEDED = {"aws": ("region",), "gcp": ("region", "availability_zone", "project_id")}
_CLOUD_KEYS = {"aws": (EC2, "of EC2's run_instances"), "gcp": (GCP, "of a Compute Engine instance")}
_COMMANDS = (
    *("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands"),
    *("head_start_ray_commands", "worker_start_ray_commands"),
)
_RAY = (  # where a version of Ray stands in a command or the name of an image
    re.compile(r"""\bray(?:\[[\w,\s-]*\])?\s*==\s*['"]?(?P<ray>\d+\.\d+\.\d+)"""),
    re.compile(r"\bray-(?P<ray>\d+\.\d+\.\d+)[\w.+]*-cp(?P<python>3\d+)"),
    re.compile(r"\brayproject/ray(?:-ml)?:(?P<ray>\d+\.\d+\.\d+)(?:\.[0-9a-f]+)?(?:-py(?P<python>3\d+))?"),
)
_STORE = re.compile(r"""\bPREPE_RESULTS=['"]?(?P<store>[^\s'"]+)""")
_PYTHON = (
    re.compile(r"\bpython(?P<dotted>3\.\d+)\b"),
    re.compile(r"\bpython=+(?P<dotted>3\.\d+)\b"),
)


def load(file: Path) -> dict[str, Any]:
    """Read a cluster file.

    Raises:
        PrepeError: it cannot be read, or is no table in YAML.
    """
    try:
        held = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise PrepeError(f"{file}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        said = " ".join(str(error).split())
        raise PrepeError(f"{file}: not valid YAML: {said}") from None
    if not isinstance(held, dict):
        raise PrepeError(f"{file}: {type(held).__name__} stands here; allowed: a table, as in cluster.yaml")
    return held


def check(file: Path, results: str | None = None) -> list[str]:
    """Check a cluster file without any network.

    Args:
        file: as `ray up` takes it.
        results: the store that sweeps will have there, a path or a URI; None takes the PREPE_RESULTS of its nodes.

    Returns:
        What is wrong, a line each, as "path: value; allowed: ..."; nothing where all is well.

    Raises:
        PrepeError: the file cannot be read.
    """
    config = load(file)
    return list(dict.fromkeys(" ".join(each.split()) for each in _findings(config, results)))


def _findings(config: dict[str, Any], results: str | None) -> Iterator[str]:
    yield from _by_schema(config)
    provider = _table(config.get("provider"))
    yield from _provider(provider)
    yield from _node_types(config, provider)
    yield from _head(config, provider)
    yield from _versions(config)
    yield from _storage(config, provider, results)


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _by_schema(config: dict[str, Any]) -> Iterator[str]:
    """Give what Ray itself says; it prints part of that, and stops at the first."""
    said = io.StringIO()
    logging.getLogger("ray.autoscaler").setLevel(logging.WARNING)
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            validate_config(prepare_config(config))
    except jsonschema.ValidationError as error:
        path = ".".join(map(str, error.absolute_path))
        yield f"{path}: {error.message}" if path else error.message
    except (ClickException, SystemExit):  # Ray's own way out, after words in colour
        words = re.sub(r"\x1b\[[0-9;]*m", "", said.getvalue()).strip()
        yield words or "Ray refuses this file, and does not say why"
    except Exception as error:  # Ray meets what it did not expect in whatever way
        yield f"Ray cannot read this file: {type(error).__name__}: {error}"


def _provider(provider: dict[str, Any]) -> Iterator[str]:
    kind = provider.get("type")
    for key in _NEEDED.get(str(kind), ()):
        if not provider.get(key):
            yield f"provider.{key}: missing; allowed: yours, for {kind} has no default that would be meant"
    zones, region = provider.get("availability_zone"), provider.get("region")
    for zone in str(zones or "").split(","):
        if zone.strip() and region and not zone.strip().startswith(str(region)):
            yield f"provider.availability_zone: {zone.strip()!r} is not in region {region!r}; allowed: zones of it"


def _node_types(config: dict[str, Any], provider: dict[str, Any]) -> Iterator[str]:
    most = config.get("max_workers")
    keys, of_what = _CLOUD_KEYS.get(str(provider.get("type")), (None, ""))
    for name, node in _table(config.get("available_node_types")).items():
        path, node = f"available_node_types.{name}", _table(node)
        low, high = node.get("min_workers", 0), node.get("max_workers", most)
        if isinstance(low, int) and isinstance(high, int) and low > high:
            yield f"{path}.min_workers: {low} is above max_workers, {high}; allowed: 0 to {high}"
        if isinstance(high, int) and isinstance(most, int) and high > most and name != config.get("head_node_type"):
            yield f"{path}.max_workers: {high} is above that of all types together, {most}; allowed: 0 to {most}"
        if not node.get("resources"):
            yield f"{path}.resources: missing; allowed: as in {{CPU: 8}}, for else Ray has to ask the cloud"
        elif "CPU" not in node["resources"]:
            yield f"{path}.resources.CPU: missing; allowed: how many jobs' CPUs it offers, 0 on the head"
        if keys is not None:
            yield from _unknown_keys(_table(node.get("node_config")), keys, f"{path}.node_config", of_what)


def _unknown_keys(held: Any, known: dict[str, Any] | None, path: str, of_what: str) -> Iterator[str]:
    """Give every key that is not known, with the one that was probably meant."""
    if known is None:
        return
    if isinstance(held, list):
        for i, each in enumerate(held):
            yield from _unknown_keys(each, known, f"{path}[{i}]", of_what)
    elif isinstance(held, dict):
        for key, value in held.items():
            if key in known:
                yield from _unknown_keys(value, known[key], f"{path}.{key}", of_what)
                continue
            near = get_close_matches(str(key).lower(), {each.lower(): each for each in known}, 1)
            meant = next((each for each in known if near and each.lower() == near[0]), None)
            allowed = ", ".join(sorted(known)) if len(known) <= _SHOWN_KEYS else f"the keys {of_what}"
            yield f"{path}.{key}: unknown key{f' (did you mean {meant!r}?)' if meant else ''}; allowed: {allowed}"


def _head(config: dict[str, Any], provider: dict[str, Any]) -> Iterator[str]:
    """Give what would let trials run on the head, or end it with a spot machine, or show its dashboard to strangers."""
    name = config.get("head_node_type")
    node = _table(_table(config.get("available_node_types")).get(str(name)))
    path = f"available_node_types.{name}"
    cpus = _table(node.get("resources")).get("CPU", 0)
    if isinstance(cpus, int | float) and cpus > 0:
        yield f"{path}.resources.CPU: {cpus}, so trials run on the head; allowed: 0, which leaves it to the driver"
    spot = _table(_table(node.get("node_config")).get("InstanceMarketOptions")).get("MarketType") == "spot"
    scheduling = _table(_table(node.get("node_config")).get("scheduling"))
    if spot or scheduling.get("preemptible") or scheduling.get("provisioningModel") == "SPOT":
        yield f"{path}.node_config: a spot machine as head; allowed: a machine that stays, for the sweep ends with it"
    starts = [each for each in config.get("head_start_ray_commands") or () if "ray start" in str(each)]
    if provider.get("type") == "local" and not any(re.search(r"--num-cpus[= ]0\b", each) for each in starts):
        yield "head_start_ray_commands: no --num-cpus=0, so trials run on the head; allowed: ray start with it"
    if not starts:
        if provider.get("type") in _CLOUD_KEYS:
            yield (
                "head_start_ray_commands: missing, and Ray's own show its dashboard, which runs whatever it is sent, "
                "on all addresses; allowed: ray start with --dashboard-host=127.0.0.1"
            )
    elif any(re.search(r"--dashboard-host[= ](0\.0\.0\.0|::)", each) for each in starts):
        yield (
            "head_start_ray_commands: the dashboard, which runs whatever it is sent, listens on all addresses; "
            "allowed: --dashboard-host=127.0.0.1, to be reached by `ray dashboard FILE`"
        )


def _texts(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Give every text of a file that may say a version, after its path."""
    for key in _COMMANDS:
        for i, each in enumerate(config.get(key) or ()):
            yield f"{key}[{i}]", str(each)
    tables = [("docker", _table(config.get("docker")))]
    for name, node in _table(config.get("available_node_types")).items():
        path = f"available_node_types.{name}"
        tables.append((f"{path}.docker", _table(_table(node).get("docker"))))
        for i, each in enumerate(_table(node).get("worker_setup_commands") or ()):
            yield f"{path}.worker_setup_commands[{i}]", str(each)
    for path, table in tables:
        for key in ("image", "head_image", "worker_image"):
            if table.get(key):
                yield f"{path}.{key}", str(table[key])


def _versions(config: dict[str, Any]) -> Iterator[str]:
    """Give versions of Ray and Python that are not those of this machine, as every node has to have."""
    here = ".".join(platform.python_version_tuple()[:2])
    for path, text in _texts(config):
        for match in (found for pattern in _RAY for found in pattern.finditer(text)):
            if match["ray"] != ray.__version__:
                yield f"{path}: Ray {match['ray']}; allowed: {ray.__version__}, as on this machine"
            python = match.groupdict().get("python")
            if python and f"{python[0]}.{python[1:]}" != here:
                yield f"{path}: Python {python[0]}.{python[1:]}; allowed: {here}, as on this machine"
        for match in (found for pattern in _PYTHON for found in pattern.finditer(text)):
            if match["dotted"] != here:
                yield f"{path}: Python {match['dotted']}; allowed: {here}, as on this machine"


def _storage(config: dict[str, Any], provider: dict[str, Any], results: str | None) -> Iterator[str]:
    """Give a store that not every node would see; where none is named, it is the one that the file gives its nodes."""
    if results is None:
        options = [str(each) for each in _table(config.get("docker")).get("run_options") or ()]
        own = [
            found for _, text in (*_texts(config), *(("", each) for each in options)) if (found := _STORE.search(text))
        ]
        results = own[0]["store"] if own else None
    if results is None or "://" in results or (provider.get("type") == "local" and not provider.get("worker_ips")):
        return
    allowed = "allowed: s3://BUCKET/FOLDER, gs://BUCKET/FOLDER, or an absolute path that the file mounts on every node"
    if not results.startswith("/"):
        yield f"--results: {results} is a folder of this machine, and workers have their own disks; {allowed}"
        return
    synced = [target for target in _table(config.get("file_mounts")) if str(target).rstrip("/") == results.rstrip("/")]
    if synced:
        yield f"file_mounts.{synced[0]}: copies, of which each node writes its own; {allowed}"
    commands = [text for path, text in _texts(config) if not path.startswith(("docker", "head_"))]
    top = f"/{results.strip('/').split('/')[0]}"
    if not any(re.search(r"\bmount\b|\bgcsfuse\b|\bmount-s3\b", each) and top in each for each in commands):
        yield f"--results: no command of the file mounts {results}, and workers have their own disks; {allowed}"
