"""Start Ray nodes on this machine, of which the head takes jobs; print both addresses; end with standard input.

python -m cluster.serving CPUS[:GPUS] [CPUS[:GPUS] ...]
"""

import sys
import tempfile
from typing import Any

from ray.cluster_utils import Cluster


def resources(text: str) -> dict[str, Any]:
    cpus, _, gpus = text.partition(":")
    return {"num_cpus": int(cpus), "num_gpus": int(gpus or 0)}


if __name__ == "__main__":
    head, *others = map(resources, sys.argv[1:])
    cluster = Cluster(
        initialize_head=True,
        head_node_args={**head, "include_dashboard": True, "dashboard_host": "127.0.0.1", "dashboard_port": 0},
    )
    with tempfile.TemporaryDirectory(prefix="nodes-", ignore_cleanup_errors=True) as folder:
        for i, each in enumerate(others):  # each unpacks what jobs carry in a folder of its own, as machines do
            cluster.add_node(**each, include_dashboard=False, temp_dir=f"{folder}/{i}")
        print(cluster.address, f"http://{cluster.head_node.webui_url}", flush=True)
        sys.stdin.read()
        cluster.shutdown()
