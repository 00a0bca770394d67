"""Births and deaths of the processes of a pool. A library of the master and the nursery."""
