"""Benchmark of this client and others: `nox -s bench`, or `python -m tests.bench --help`.

Modules: `canned` has the data, `server` responds with it, `contenders` are the clients, and `worker` runs one client in
its own process. `measures` runs the other jobs (`write_queue`, `growth`) in theirs. `runner` and `figures` start the
processes (`children`), `results` defines the figures, `report` and `chart` render them.
"""
