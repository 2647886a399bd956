"""What a call costs, beside what others cost: `nox -s bench`, or `python -m tests.bench --help`.

Modules: `canned` is the data, `server` answers with it, `contenders` are the clients, `worker` runs one of them in a
process of its own, `measures` are the jobs that need more than that, `results` says what came out, `report` shows it.
"""
