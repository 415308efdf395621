"""What the fabric costs, next to peers and limits measured in the same run: `python -m benchmarks`."""
