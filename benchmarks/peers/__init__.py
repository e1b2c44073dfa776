"""configkit's evaluation beside that of other clients, on one workload: `python -m benchmarks.peers`."""
