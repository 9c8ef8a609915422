"""The shipped cluster files pass the check; each fault that Ray lets through is found, and said in one line."""

import platform
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from command import Said

from prepe.errors import PrepeError
from prepe.launch import cluster_file
from prepe.launch.cloud_keys import EC2

ROOT = Path(__file__).parents[1]
FILES = {
    "aws": ROOT / "cluster.yaml",
    "gcp": ROOT / "clusters" / "gcp.yaml",
    "local": ROOT / "clusters" / "onprem.yaml",
}
Changed = Callable[..., Path]


@pytest.fixture
def changed(tmp_path: Path) -> Changed:
    """Write a shipped file with one value replaced, or taken out where that is None; keys are joined by dots."""

    def write(kind: str, path: str, value: Any) -> Path:
        config = yaml.safe_load(FILES[kind].read_text())
        *parents, last = path.split(".")
        table = config
        for key in parents:
            table = table[key]
        if value is None:
            del table[last]
        else:
            table[last] = value
        file = tmp_path / "cluster.yaml"
        file.write_text(yaml.safe_dump(config))
        return file

    return write


@pytest.mark.parametrize("kind", FILES)
def test_nothing_is_found_in_a_shipped_file(kind: str) -> None:
    assert cluster_file.check(FILES[kind], "/mnt/results" if kind == "local" else None) == []


@pytest.mark.parametrize(
    ("kind", "path", "value", "finding"),
    [
        ("aws", "max_workers", "many", "max_workers: 'many' is not of type 'integer'"),
        ("aws", "head_node_type", "chief", "`head_node_type` must be one of `available_node_types`."),
        ("local", "provider.head_ip", None, "Please supply a `head_ip` and list of `worker_ips`"),
        ("aws", "provider.region", None, "provider.region: missing"),
        ("gcp", "provider.project_id", None, "provider.project_id: missing"),
        (
            "gcp",
            "provider.availability_zone",
            "us-west1-a",
            "provider.availability_zone: 'us-west1-a' is not in region",
        ),
        (
            "aws",
            "available_node_types.worker.node_config.InstanceTyp",
            "c7i.large",
            "available_node_types.worker.node_config.InstanceTyp: unknown key (did you mean 'InstanceType'?)",
        ),
        (
            "aws",
            "available_node_types.worker.node_config.InstanceMarketOptions",
            {"marketType": "spot"},
            "node_config.InstanceMarketOptions.marketType: unknown key (did you mean 'MarketType'?); "
            "allowed: MarketType, SpotOptions",
        ),
        (
            "aws",
            "available_node_types.worker.node_config.BlockDeviceMappings",
            [{"DeviceName": "/dev/sda1", "Ebs": {"VolumSize": 50}}],
            "node_config.BlockDeviceMappings[0].Ebs.VolumSize: unknown key (did you mean 'VolumeSize'?)",
        ),
        (
            "gcp",
            "available_node_types.worker.node_config.machinetype",
            "n2-standard-8",
            "available_node_types.worker.node_config.machinetype: unknown key (did you mean 'machineType'?)",
        ),
        ("aws", "available_node_types.worker.min_workers", 9, "worker.min_workers: 9 is above max_workers, 8"),
        ("aws", "available_node_types.worker.max_workers", 99, "worker.max_workers: 99 is above that of all types"),
        ("aws", "available_node_types.worker.resources", None, "available_node_types.worker.resources: missing"),
        ("aws", "available_node_types.worker.resources", {"GPU": 1}, "worker.resources.CPU: missing"),
        ("aws", "available_node_types.head.resources", {"CPU": 2}, "head.resources.CPU: 2, so trials run on the head"),
        ("local", "head_start_ray_commands", ["ray start --head"], "head_start_ray_commands: no --num-cpus=0"),
        (
            "aws",
            "available_node_types.head.node_config.InstanceMarketOptions",
            {"MarketType": "spot"},
            "available_node_types.head.node_config: a spot machine as head",
        ),
        ("gcp", "head_start_ray_commands", None, "head_start_ray_commands: missing, and Ray's own show its dashboard"),
        (
            "aws",
            "head_start_ray_commands",
            ["ray start --head --dashboard-host=0.0.0.0"],
            "head_start_ray_commands: the dashboard, which runs whatever it is sent, listens on all addresses",
        ),
        ("aws", "docker.image", "rayproject/ray:2.9.0-py311", f"docker.image: Ray 2.9.0; allowed: {ray.__version__}"),
        ("aws", "setup_commands", ["pip install 'ray[default]==2.9.0'"], "setup_commands[0]: Ray 2.9.0; allowed: "),
        (
            "gcp",
            "setup_commands",
            ["pip install https://example.org/ray-2.9.0-cp38-cp38-linux_x86_64.whl"],
            "setup_commands[0]: Python 3.8; allowed: ",
        ),
        ("local", "setup_commands", ["python3.8 -m venv ~/venv"], "setup_commands[0]: Python 3.8; allowed: "),
        (
            "aws",
            "docker.run_options",
            ["--env PREPE_RESULTS=/results"],
            "--results: no command of the file mounts /results",
        ),
        ("local", "setup_commands", ["export PREPE_RESULTS=results"], "--results: results is a folder of this machine"),
    ],
)
def test_a_fault_is_found_and_said_in_one_line(
    changed: Changed, kind: str, path: str, value: object, finding: str
) -> None:
    found = cluster_file.check(changed(kind, path, value))
    assert any(finding in line for line in found), found
    assert not any("\n" in line or "Traceback" in line for line in found)


def test_a_store_that_only_this_machine_sees_is_found(changed: Changed) -> None:
    assert "workers have their own disks" in cluster_file.check(FILES["aws"], "results")[0]
    assert "no command of the file mounts /mnt" in cluster_file.check(FILES["aws"], "/mnt/results")[0]
    mounted = changed("aws", "initialization_commands", ["sudo mount -t nfs4 10.0.0.1:/ /mnt"])
    assert cluster_file.check(mounted, "/mnt/results") == []
    copied = changed("aws", "file_mounts", {"/mnt/results": "results"})
    assert any(
        line.startswith("file_mounts./mnt/results: copies") for line in cluster_file.check(copied, "/mnt/results")
    )


def test_the_shipped_images_have_the_versions_of_the_lock() -> None:
    locked = re.search(r"^ray==(\S+)$", (ROOT / "requirements.lock").read_text(), re.M)
    assert locked
    python = "".join(platform.python_version_tuple()[:2])
    for kind in ("aws", "gcp"):
        assert f"ray:{locked[1]}-py{python}" in yaml.safe_load(FILES[kind].read_text())["docker"]["image"]


def test_what_is_no_cluster_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    for text, said in (("a: [", "not valid YAML"), ("- a", "list stands here"), ("", "NoneType stands here")):
        file.write_text(text)
        with pytest.raises(PrepeError, match=said):
            cluster_file.check(file)
    with pytest.raises(PrepeError, match="cannot be read"):
        cluster_file.check(tmp_path / "none.yaml")
    for text in ("{}", "provider: {}", "provider: 3", "available_node_types: 3"):
        file.write_text(text)
        assert cluster_file.check(file)


def test_the_known_keys_are_those_of_ec2_itself() -> None:
    service = pytest.importorskip("botocore.session").get_session().get_service_model("ec2")

    def check(known: dict[str, Any], shape: Any) -> None:
        shape = shape.member if shape.type_name == "list" else shape
        assert set(known) - {"SubnetIds"} == set(shape.members)
        for key, below in known.items():
            if below is not None:
                check(below, shape.members[key])

    check(EC2, service.operation_model("RunInstances").input_shape)


def test_the_command_prints_a_line_a_finding_and_says_so_by_its_exit_code(
    prepe_cli: Callable[..., Said], changed: Changed
) -> None:
    said = prepe_cli("cluster", "check", *FILES.values(), "--results", "s3://bucket/results")
    assert (said.code, said.out, said.err) == (0, "3 files: nothing found\n", "")
    file = changed("aws", "provider.region", None)
    said = prepe_cli("cluster", "check", file)
    assert said.code == 1
    assert said.out.startswith(f"{file}: provider.region: missing; allowed: ")
    assert said.err == "1 finding\n"
