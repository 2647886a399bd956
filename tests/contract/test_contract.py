"""Check the package as a whole: public names, layers, docstrings, imports, and errors that survive pickle."""

import ast
import asyncio
import graphlib
import importlib
import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from attrs import frozen

import secoda_async
from secoda_async import errors, groups, reconcile, users
from secoda_async.emulator import Emulator
from tests.support import roundtrip

PACKAGE = Path(secoda_async.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

LAYERS = [
    {"errors", "_version"},
    {"config", "models", "clock", "events"},
    {"_engine", "user_index"},
    {"groups", "users", "operations"},
    {"worker_pool"},
    {"bulk"},
    {"reconcile"},
    {"workspace"},
    {"client"},
    {""},
    {"ext"},
    {"cli"},
    {"__main__"},
]
"""A layer imports lower layers only; "" is the package itself, with the public names."""

RANKS = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}

HOMES = {
    "aiohttp": {"_engine.wire.failures", "_engine.wire.transport", "emulator"},
    "yarl": {"_engine.wire.transport", "emulator"},
    "tenacity": {"_engine.retries"},
    "cattrs": {"_engine.wire.structuring"},
    "msgspec": {"_engine.wire.rows"},
    "orjson": {"_engine.wire.codec", "_engine.wire.rows", "emulator"},
    "cyclopts": {"cli"},
    "rich": {"cli"},
    "jinja2": {"cli.output.html"},
    "yaml": {"reconcile"},
    "redis": {"ext.redis_connection"},
    "opentelemetry": {"ext.opentelemetry"},
    "pytest": {"ext"},
    "pytest_asyncio": {"ext"},
}
"""The modules that may import each library."""


@frozen
class Import:
    """One import of one module."""

    importer: str
    """The module that imports, below the package: `_engine.limits`."""
    imported: str
    """The module or name that it imports, in full."""
    is_run_time: bool
    """False under `if TYPE_CHECKING`."""
    is_top_level: bool
    """False inside a function."""

    @property
    def ours(self) -> str | None:
        """The imported module of this package, without the package's name; None for other packages."""
        head, _, tail = self.imported.partition(".")
        return tail if head == "secoda_async" else None


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


NAMES = {module_name(path) for path in MODULES}


def imports_of(path: Path) -> Iterator[Import]:
    importer = module_name(path)

    def walk(node: ast.AST, *, is_run_time: bool, is_top_level: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(importer, alias.name, is_run_time, is_top_level)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{importer}: a relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                is_module = whole.removeprefix("secoda_async.") in NAMES
                yield Import(importer, whole if is_module else str(node.module), is_run_time, is_top_level)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for child in node.body:
                yield from walk(child, is_run_time=False, is_top_level=is_top_level)
        else:
            inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            for inner in ast.iter_child_nodes(node):
                yield from walk(inner, is_run_time=is_run_time, is_top_level=is_top_level and not inside)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), is_run_time=True, is_top_level=True)


IMPORTS = [found for path in MODULES for found in imports_of(path)]


PARTS = {
    "_engine": {"_engine.wire", "_engine.limits", "_engine.concurrency"},
    "cli": {"cli.output"},
    "reconcile": {"reconcile.files"},
}
"""Parts of a layer that do not import its other modules, except the modules in `SHARED`."""
SHARED = {
    "cli.exit_codes",
    "cli.files",
    "cli.options",
    "cli.signals",
    "reconcile.desired_group",
    "reconcile.escape",
    "reconcile.wording",
}
MAX_MODULE_LINES = 330


def is_in(module: str, homes: set[str]) -> bool:
    return any(module == home or module.startswith(f"{home}.") for home in homes)


# --- names and docstrings --------------------------------------------------------------------------------------


def test_all_is_sorted_and_complete() -> None:
    names = secoda_async.__all__
    assert names == sorted(names, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    assert len(set(names)) == len(names)
    assert all(hasattr(secoda_async, name) for name in names)


def test_every_public_name_of_the_public_modules_is_exported() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    imported = {alias.name for found in tree.body for alias in names_of(found)} - {"TYPE_CHECKING", "import_module"}
    assert imported == set(secoda_async.__all__)
    assert set(errors.__all__) <= imported


def names_of(node: ast.AST) -> list[ast.alias]:
    if isinstance(node, ast.If):  # names that type checkers see, and that are imported when they are first used
        return [alias for inner in node.body for alias in names_of(inner)]
    return node.names if isinstance(node, ast.ImportFrom) else []


LAZY = pytest.mark.parametrize("package", [secoda_async, reconcile], ids=lambda package: package.__name__)
"""The packages that import their names on first use."""


@LAZY
def test_package_init_has_no_logic(package: ModuleType) -> None:
    body = ast.parse(Path(str(package.__file__)).read_text(encoding="utf-8")).body
    (imports,) = [node for node in body if isinstance(node, ast.If)]
    assert {type(node).__name__ for node in body} == {"Expr", "ImportFrom", "If", "Assign"}
    assert {type(node).__name__ for node in imports.body} == {"ImportFrom"}
    assert [node.name for node in imports.orelse if isinstance(node, ast.FunctionDef)] == ["__getattr__", "__dir__"]


@LAZY
def test_lazy_names_equal_the_names_for_type_checkers(package: ModuleType) -> None:
    tree = ast.parse(Path(str(package.__file__)).read_text(encoding="utf-8"))
    (imports,) = [node for node in tree.body if isinstance(node, ast.If)]
    assert {alias.name for alias in names_of(imports)} == {*package.__all__} - {"__version__"}
    assert {*package.__all__} <= {*dir(package)}
    for found in imports.body:
        assert isinstance(found, ast.ImportFrom)
        home = importlib.import_module(str(found.module))
        for alias in found.names:
            assert getattr(package, alias.name) is getattr(home, alias.name), alias.name


@pytest.mark.requirement("PK-2")
def test_import_loads_no_library_and_dir_lists_every_name() -> None:
    program = """
import json, sys
before = set(sys.modules)
import secoda_async
listed, missing = dir(secoda_async), [name for name in secoda_async.__all__ if name not in dir(secoda_async)]
loaded = sorted(set(sys.modules) - before)
secoda_async.errors.SecodaError, secoda_async.RateLimit
print(json.dumps([loaded, missing, "aiohttp" in sys.modules]))
"""
    loaded, missing, has_aiohttp = run_in_fresh_interpreter(program)
    libraries = {name.partition(".")[0] for name in loaded} - set(sys.stdlib_module_names) - {"secoda_async"}
    assert libraries == set()
    assert [name for name in loaded if name.startswith("secoda_async")] == ["secoda_async", "secoda_async._version"]
    assert (missing, has_aiohttp) == ([], False)
    assert set(secoda_async.__all__) <= set(dir(secoda_async))


@pytest.mark.requirement("PK-2")
def test_a_public_module_is_an_attribute_of_the_package() -> None:
    modules = ["errors", "config", "models", "events", "clock", "groups", "users", "bulk", "reconcile"]
    program = (
        f"import json, secoda_async; print(json.dumps([getattr(secoda_async, name).__name__ for name in {modules}]))"
    )
    assert run_in_fresh_interpreter(program) == [f"secoda_async.{name}" for name in modules]


@pytest.mark.requirement("PK-2")
def test_a_module_of_reconcile_is_an_attribute_of_the_package() -> None:
    program = "import json; from secoda_async import reconcile; print(json.dumps(reconcile.desired.__name__))"
    assert run_in_fresh_interpreter(program) == "secoda_async.reconcile.desired"


@pytest.mark.requirement("PK-2")
def test_client_loads_neither_events_nor_reconcile_nor_the_libraries_of_responses() -> None:
    loaded = run_in_fresh_interpreter(
        "import sys, json, secoda_async; secoda_async.SecodaClient; print(json.dumps(sorted(sys.modules)))"
    )
    assert not [name for name in loaded if "reconcile" in name]
    assert not {"secoda_async.events", "secoda_async.bulk"} & set(loaded)
    assert not {"cattrs", "msgspec", "tenacity"} & set(loaded)


@pytest.mark.requirement("PK-2")
@pytest.mark.parametrize(
    "statement", ["from secoda_async.reconcile import DesiredState", "import secoda_async.cli.app"]
)
def test_files_of_groups_and_help_texts_need_no_aiohttp(statement: str) -> None:
    assert "aiohttp" not in run_in_fresh_interpreter(
        f"import sys, json; {statement}; print(json.dumps([*sys.modules]))"
    )


@pytest.mark.requirement("PK-2")
async def test_usual_calls_load_neither_cattrs_nor_tenacity(emulator: Emulator) -> None:
    program = f"""
import asyncio, json, sys
from secoda_async import SecodaClient
async def main():
    async with SecodaClient({emulator.api_key!r}, base_url={emulator.url!r}) as secoda:
        group = await secoda.groups.create(name="A")
        await secoda.groups.update(group.id, name="B")
        await secoda.groups.snapshot()
        await secoda.users.snapshot()
asyncio.run(main())
print(json.dumps([name in sys.modules for name in ("cattrs", "tenacity", "msgspec")]))
"""
    assert await asyncio.to_thread(run_in_fresh_interpreter, program) == [False, False, True]


@LAZY
def test_unknown_name_raises_attribute_error(package: ModuleType) -> None:
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'Grop'"):
        _ = package.Grop


def test_completion_of_groups_and_users_shows_calls_only() -> None:
    client = secoda_async.SecodaClient("key", base_url="http://127.0.0.1:1")
    for calls in (client.groups, client.users):
        public = [name for name in dir(calls) if not name.startswith("_")]
        assert [name for name in public if not inspect.ismethod(getattr(calls, name))] == []


def public_classes() -> list[type]:
    named = [getattr(secoda_async, name) for name in secoda_async.__all__]
    return [value for value in [*named, groups.Groups, users.Users] if inspect.isclass(value)]


@pytest.mark.parametrize("kind", public_classes())
def test_public_classes_methods_and_properties_have_docstrings(kind: type) -> None:
    assert kind.__doc__, kind
    for name, member in vars(kind).items():
        if not name.startswith("_") and (inspect.isroutine(member) or isinstance(member, property)):
            assert inspect.getdoc(member), f"{kind.__name__}.{name}"


def test_public_functions_and_all_modules_have_docstrings() -> None:
    for name in secoda_async.__all__:
        value = getattr(secoda_async, name)
        assert not inspect.isfunction(value) or value.__doc__, name
    for path in MODULES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not tree.body or ast.get_docstring(tree), path


@pytest.mark.parametrize(
    "module",
    [
        "config",
        "errors",
        "events",
        "models",
        "operations",
        "reconcile/plan",
        "reconcile/report",
        "reconcile/desired_group",
    ],
)
def test_public_fields_have_docstrings(module: str) -> None:
    tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    for kind in (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name in secoda_async.__all__):
        for node, beneath in zip(kind.body, [*kind.body[1:], None], strict=True):
            if isinstance(node, ast.AnnAssign) and not ast.unparse(node.target).startswith("_"):
                is_explained = isinstance(beneath, ast.Expr) and isinstance(beneath.value, ast.Constant)
                assert is_explained, f"{module}.{kind.name}.{ast.unparse(node.target)}"


# --- layers ----------------------------------------------------------------------------------------------------


def test_layers_import_lower_layers_only() -> None:
    for found in IMPORTS:
        ours, layer = found.ours, found.importer.partition(".")[0]
        if ours is None or "emulator" in (layer, ours.partition(".")[0]):
            continue
        target = ours.partition(".")[0]
        assert RANKS[target] < RANKS[layer] or (target == layer and "." in f"{found.importer}."), found


def test_modules_have_at_most_330_lines() -> None:
    lengths = {module_name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_MODULE_LINES} == {}


@pytest.mark.parametrize("layer", sorted(PARTS))
def test_parts_of_a_layer_import_none_of_its_other_modules(layer: str) -> None:
    for found in IMPORTS:
        if is_in(found.importer, PARTS[layer]) and found.ours is not None and found.ours.startswith(f"{layer}."):
            assert is_in(found.ours, PARTS[layer] | SHARED), found


def test_imports_have_no_cycle_type_only_imports_included() -> None:
    graph: dict[str, set[str]] = {name: set() for name in NAMES}
    for found in IMPORTS:
        if found.ours is not None:
            graph[found.importer].add(found.ours)
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(NAMES)


def test_emulator_and_sdk_do_not_import_each_other() -> None:
    for found in IMPORTS:
        if found.ours is None:
            continue
        if is_in(found.importer, {"emulator"}):
            assert is_in(found.ours, {"emulator"}), found
        elif is_in(found.ours, {"emulator"}):
            assert is_in(found.importer, {"cli", "ext.pytest_loops", "ext.pytest_fixtures"}), found


@pytest.mark.parametrize("library", sorted(HOMES))
def test_libraries_are_imported_in_their_home_only(library: str) -> None:
    for found in IMPORTS:
        is_type_of_an_argument = library == "aiohttp" and found.importer == "client" and not found.is_run_time
        if found.imported.partition(".")[0] == library and not is_type_of_an_argument:
            assert is_in(found.importer, HOMES[library]), found


def test_core_imports_declared_requirements_only() -> None:
    known = {"aiohttp", "attrs", "cattrs", "msgspec", "multidict", "orjson", "tenacity", "yarl", "secoda_async"}
    for found in IMPORTS:
        if (
            found.is_top_level
            and found.is_run_time
            and not is_in(found.importer, {"cli", "ext", "reconcile.yaml_nodes"})
        ):
            head = found.imported.partition(".")[0]
            assert head in known or head in sys.stdlib_module_names, found


# --- importing -------------------------------------------------------------------------------------------------


def run_in_fresh_interpreter(program: str) -> Any:
    ran = subprocess.run([sys.executable, "-B", "-c", program], capture_output=True, text=True, check=True)
    return json.loads(ran.stdout)


def test_import_of_the_sdk_loads_no_extra_and_no_emulator() -> None:
    loaded = run_in_fresh_interpreter(
        "import sys, json; from secoda_async import *; print(json.dumps(sorted(sys.modules)))"
    )
    unwanted = {"cyclopts", "rich", "yaml", "redis", "opentelemetry", "pytest", "hypothesis"}
    unwanted |= {f"secoda_async.{name}" for name in ("emulator", "cli", "ext", "__main__")}
    assert not unwanted & set(loaded)
    assert "secoda_async.client" in loaded


def test_import_opens_no_file_socket_or_process() -> None:
    ours = sorted(f"secoda_async.{name}" for name in NAMES if name and name not in ("__main__", "ext.pytest_fixtures"))
    theirs = sorted({"aiohttp.web"} | {found.imported for found in IMPORTS if found.ours is None})
    program = f"""
import contextlib, importlib, json, sys
for name in {theirs!r}:
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
seen = []
def watch(event, arguments):
    if event == "open" and not str(arguments[0]).endswith((".py", ".pyc")) and ".pyc." not in str(arguments[0]):
        seen.append(f"open {{arguments[0]}}")
    elif event.startswith(("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "urllib.", "os.putenv")):
        seen.append(f"{{event}} {{arguments}}")
sys.addaudithook(watch)
for name in {ours!r}:
    importlib.import_module(name)
print(json.dumps(seen))
"""
    assert run_in_fresh_interpreter(program) == []


# --- errors ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("ER-2")
@pytest.mark.parametrize("name", [name for name in secoda_async.__all__ if name.endswith("Error")])
def test_every_public_error_survives_pickle_and_copy(name: str) -> None:
    kind: type[errors.SecodaError] = getattr(secoda_async, name)
    assert issubclass(kind, errors.SecodaError)
    error = kind("what happened")
    error.method, error.path, error.attempts, error.waited = "PATCH", "/api/v1/auth/group/1", 5, 61.5
    error.__dict__ |= {"status": 429, "retry_after": 5.0, "body": "{}"}
    try:
        raise error from errors.TransportError("dropped")
    except errors.SecodaError as caught:
        raised = caught
    for again in roundtrip.copies(raised):
        assert type(again) is kind
        assert str(again) == str(error)
        assert vars(again) == vars(error)
