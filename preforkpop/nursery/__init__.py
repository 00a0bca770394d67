"""PROCESS nursery: forks the workers."""
