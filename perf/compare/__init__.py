"""The comparison of POP3 servers that ``perf/run`` starts. Standard library only."""
