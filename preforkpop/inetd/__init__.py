"""PROCESS inetd: one connection that somebody else accepted, through the same stages."""
