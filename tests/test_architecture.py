"""The floor plan, held: a room imports only from below, each module imports alone, what is public is listed."""

from __future__ import annotations

import ast
import graphlib
import itertools
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "ds2api"
MODULES = sorted(path.relative_to(SOURCE).with_suffix("") for path in SOURCE.rglob("*.py"))

# The levels of the house, lowest first. Rooms of one level know nothing of each other, but for the doors.
LEVELS = (
    ("jsons", "long_strings", "slices"),
    ("universal", "wire"),
    ("records",),
    ("dialects", "prompted"),
    ("accounts", "stores"),
    ("gateway",),
    ("demo", "console"),
    ("config", "config_accounts", "config_clients", "config_keys", "config_providers", "config_values"),
    (
        "cli",
        "__main__",
        "__init__",
        "audit",
        "compare",
        "event_loop",
        "handover",
        "pool_command",
        "pool_page",
        "process",
        "service",
        "startup",
        "settings_page",
        "text_table",
    ),
)
LEVEL = {room: number for number, rooms in enumerate(LEVELS) for room in rooms}
NEIGHBOURS = set(LEVELS[-1]) | set(LEVELS[-2])  # these two levels are the doors, and may use each other


@cache
def tree_of(path: Path) -> ast.Module:
    """Every module is asked for by everybody who imports from it."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(module: Path) -> list[str]:
    """The ds2api modules that `module` imports, dotted, without the leading package."""
    tree = tree_of((SOURCE / module).with_suffix(".py"))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative imports hide which room is meant"
            if node.module == "ds2api":
                found += [name.name for name in node.names if name.name != "__version__"]
            elif node.module and node.module.startswith("ds2api."):
                found.append(node.module.removeprefix("ds2api."))
        elif isinstance(node, ast.Import):
            found += [n.name.removeprefix("ds2api.") for n in node.names if n.name.startswith("ds2api.")]
    return found


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_room_imports_only_from_below(module: Path) -> None:
    room = module.parts[0]
    assert room in LEVEL, f"{room} stands on no level"
    for imported in imports(module):
        other = imported.partition(".")[0]
        if other == room or (room in NEIGHBOURS and other in NEIGHBOURS):
            continue
        assert LEVEL[other] < LEVEL[room], f"{module} may not import {imported}"


@pytest.mark.parametrize("module", [m for m in MODULES if m.parts[0] == "dialects" and len(m.parts) > 2], ids=str)
def test_dialects_never_import_each_other(module: Path) -> None:
    for imported in imports(module):
        parts = imported.split(".")
        if len(parts) > 1 and parts[0] == "dialects" and (SOURCE / "dialects" / parts[1]).is_dir():
            assert parts[1] == module.parts[1]


def imported_first(name: str, path: Path, names: Mapping[str, Path]) -> set[str]:
    """The modules of ours that must be there before the module `name` can run its first line behind its imports."""
    found: set[str] = set()
    body = tree_of(path).body
    for node in itertools.chain(body, *(one.body for one in body if isinstance(one, ast.Try))):
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names if one.name in names}
        elif isinstance(node, ast.ImportFrom) and node.module in names:
            inside = {f"{node.module}.{one.name}" for one in node.names}
            found |= inside & names.keys()
            if not inside <= names.keys():
                found.add(node.module)
    return found - {name}


def test_every_module_can_be_imported_first() -> None:
    """No module waits for one that waits for it: then each imports alone, in whatever order."""
    names = {".".join(("ds2api", *one.parts)).removesuffix(".__init__"): SOURCE / f"{one}.py" for one in MODULES}
    waits_for = {name: imported_first(name, path, names) for name, path in names.items()}
    assert sum(map(len, waits_for.values())) > 2 * len(names)
    for name in graphlib.TopologicalSorter(waits_for).static_order():
        assert name in names


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_every_file_opens_with_its_strategy(module: Path) -> None:
    tree = tree_of((SOURCE / module).with_suffix(".py"))
    opening = ast.get_docstring(tree)
    assert opening, f"{module} does not say what it is"
    if module.name == "__init__" and module.parts[0] != "__init__":
        logic = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        assert not logic, f"{module}: a room's __init__ holds its words, not its logic"


@pytest.mark.parametrize("module", [m for m in MODULES if m.name not in ("__init__", "__main__")], ids=str)
def test_what_is_public_is_listed(module: Path) -> None:
    tree = tree_of((SOURCE / module).with_suffix(".py"))
    listed: list[str] = []
    defined: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name) and target.id == "__all__":
                    assert isinstance(node.value, ast.List)
                    listed = [ast.literal_eval(one) for one in node.value.elts]
                elif isinstance(target, ast.Name):
                    defined.add(target.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            defined |= {name.asname or name.name for name in node.names}  # offered again on purpose
    assert listed, f"{module} does not say what it offers"
    assert set(listed) <= defined, f"{module} lists what it does not define"


def test_no_import_of_what_a_neighbour_does_not_list() -> None:
    for module in MODULES:
        tree = tree_of((SOURCE / module).with_suffix(".py"))
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("ds2api."):
                continue
            path = SOURCE.joinpath(*str(node.module).split(".")[1:])
            file = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
            other = tree_of(file)
            public = next(
                (
                    [ast.literal_eval(one) for one in statement.value.elts]  # type: ignore[attr-defined]
                    for statement in other.body
                    if isinstance(statement, ast.Assign)
                    and isinstance(statement.targets[0], ast.Name)
                    and statement.targets[0].id == "__all__"
                ),
                [],
            )
            folder = path if path.is_dir() else None
            for name in node.names:
                is_module = folder is not None and (
                    (folder / f"{name.name}.py").exists() or (folder / name.name).is_dir()
                )
                assert name.name in public or is_module, (
                    f"{module} takes {name.name}, which {node.module} does not offer"
                )
