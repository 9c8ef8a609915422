"""How many jobs nodes take, of which some have GPUs, and some are not there yet."""

from pathlib import Path

import pytest

from prepe.launch.cluster import Slots, _slots, _startable
from prepe.sweep import Resources

ROOT = Path(__file__).parents[1]
CPUS, GPU, GPUS = {"CPU": 4.0}, {"CPU": 4.0, "GPU": 1.0}, {"CPU": 8.0, "GPU": 2.0}


@pytest.mark.parametrize(
    ("nodes", "asked", "on_gpu", "on_cpu"),
    [
        ([CPUS, CPUS], {}, 0, 8),
        ([CPUS, CPUS], {"cpus": 3}, 0, 2),
        ([{"CPU": 0.0}, {}], {}, 0, 0),
        ([CPUS], {"gpus": 0.25}, 0, 4),
        ([GPU], {"gpus": 0.25}, 4, 0),
        ([GPU], {"gpus": 0.1}, 4, 0),  # the CPUs end first
        ([GPU], {"gpus": 0.5}, 2, 2),
        ([GPUS], {"gpus": 0.4}, 4, 4),  # two parts of each, and no job gets the rest of both
        ([GPUS], {"gpus": 2}, 1, 7),
        ([GPU], {"gpus": 2}, 0, 4),
        ([GPU, CPUS], {"gpus": 1, "cpus": 2}, 1, 3),
    ],
)
def test_a_job_gets_its_part_of_a_gpu_and_the_others_the_cpus_that_are_left(
    nodes: list[dict[str, float]], asked: dict[str, float], on_gpu: int, on_cpu: int
) -> None:
    assert _slots(nodes, Resources.model_validate(asked)) == Slots(on_gpu, on_cpu)


def test_nodes_that_a_cluster_may_start_are_counted_up_to_its_most(tmp_path: Path) -> None:
    nodes = _startable(ROOT / "cluster.yaml")
    assert len(nodes) == 11
    assert _slots(nodes, Resources()).on_cpu == 8 * 8 + 2 * 4
    assert _slots(nodes, Resources(gpus=0.5)) == Slots(4, 68)
    assert _startable(tmp_path / "none.yaml") == []
    for text in ("", "a: [", "available_node_types: 3", "- a"):
        (tmp_path / "other.yaml").write_text(text)
        assert _startable(tmp_path / "other.yaml") == []
