"""Benchmark of this client and others: `nox -s bench`, or `python -m tests.bench --help`.

Modules: `canned` has the data, `server` responds with it, `contenders` are the clients, `worker` runs one client in its
own process, `measures` has the jobs that need other set-ups, `results` defines the figures, `report` renders them.
"""
