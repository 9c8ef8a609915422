"""Start Ray nodes on this machine, print the cluster's address, and stop them when standard input ends.

Every line of standard input, a number of CPUs, adds a node.

python -m cluster.nodes CPUS [CPUS ...]
"""

import sys

from ray.cluster_utils import Cluster

if __name__ == "__main__":
    head, *others = map(int, sys.argv[1:])
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": head, "include_dashboard": False})
    for cpus in others:
        cluster.add_node(num_cpus=cpus, include_dashboard=False)
    print(cluster.address, flush=True)
    for line in sys.stdin:
        cluster.add_node(num_cpus=int(line), include_dashboard=False)
        print("added", flush=True)
    cluster.shutdown()
