"""The examples in docstrings, run; and every public name has one."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import pathlib
import re
import textwrap
from collections.abc import Iterator
from typing import Any

import procall
import procall.aio
import pytest
from conftest import HERE, Served

FOLDER = HERE / "examples"
MODULES = {"procall": procall, "procall.aio": procall.aio}


def public_members(owner: type) -> dict[str, Any]:
    """What a class offers by its own name, without what builtin classes gave it."""
    members: dict[str, Any] = {}
    for each in owner.__mro__:
        if not each.__module__.startswith("procall"):
            continue
        for name, member in vars(each).items():
            documented = inspect.isroutine(member) or isinstance(member, property)
            documented = documented or type(member).__name__ == "getset_descriptor"
            if documented and not name.startswith("_"):
                members.setdefault(name, member)
    return members


def blocks(docstring: str) -> Iterator[str]:
    """The literal blocks of a docstring: what is indented below a line that ends with ``::``."""
    lines = inspect.cleandoc(docstring).splitlines()
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        if not line.endswith("::"):
            continue
        indent = len(line) - len(line.lstrip())
        taken = []
        while at < len(lines) and (not lines[at].strip() or _indent(lines[at]) > indent):
            taken.append(lines[at])
            at += 1
        yield textwrap.dedent("\n".join(taken)).strip() + "\n"


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def examples() -> Iterator[tuple[str, str]]:
    """Every example with the name of what it is about."""
    for module, offers in MODULES.items():
        items = {f"{module}.{name}": getattr(offers, name) for name in offers.__all__}
        for name, item in {module: offers, **items}.items():
            told = {name: item}
            if inspect.isclass(item):
                told |= {f"{name}.{own}": each for own, each in public_members(item).items()}
            for where, each in told.items():
                if not isinstance(each, str):
                    for number, block in enumerate(blocks(inspect.getdoc(each) or "")):
                        yield f"{where}-{number + 1}", block


EXAMPLES = dict(examples())


@pytest.fixture(scope="module", autouse=True)
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The folder of the examples' program, and a runtime directory in which it serves."""
    with pytest.MonkeyPatch.context() as patch:
        runtime = tmp_path_factory.mktemp("runtime")
        runtime.chmod(0o700)
        patch.setenv("XDG_RUNTIME_DIR", str(runtime))
        patch.chdir(FOLDER)
        served = Served(str(FOLDER / "calc.py"), listen=None)
        yield
        served.end()


def checked(block: str) -> ast.Module:
    """The example, in which a result that a comment tells is asserted: ``1 + 1  # 2``."""
    lines = block.splitlines()

    class Told(ast.NodeTransformer):
        def visit_Expr(self, node: ast.Expr) -> ast.stmt:
            comment = lines[(node.end_lineno or 0) - 1][node.end_col_offset :].strip()
            if not comment.startswith("#"):
                return node
            try:
                wanted = ast.literal_eval(comment[1:].strip())
            except (ValueError, SyntaxError):
                # Words for people.
                return node
            found = node.value
            if isinstance(found, ast.Call) and ast.unparse(found.func) == "print":
                found = found.args[0]
            test = ast.Compare(found, [ast.Eq()], [ast.parse(repr(wanted), mode="eval").body])
            return ast.copy_location(ast.Assert(test, ast.Constant(ast.unparse(node))), node)

    return ast.fix_missing_locations(Told().visit(ast.parse(block)))


def missing(block: str) -> set[str]:
    """Which of the usual names an example expects to be there."""
    names = [node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Name)]
    made = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    return {node.id for node in names if node.id in ("pool", "calc")} - made


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name: str, tmp_path: pathlib.Path) -> None:
    block = EXAMPLES[name]
    if ".run()" in block:
        # A worker: a pool takes it to be one when it serves.
        program = tmp_path / "example.py"
        program.write_text(block if "import procall" in block else f"import procall\n\n{block}")
        with procall.Pool(program, workers=1) as pool:
            assert pool.methods()
        return
    code = compile(checked(block), f"<{name}>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    given: dict[str, Any] = {"__name__": "example", "procall": procall}
    if not name.startswith("procall.aio") and not code.co_flags & inspect.CO_COROUTINE:
        with contextlib.ExitStack() as stack:
            for wanted in missing(block):
                made = pool_or_client(procall, wanted)
                given[wanted] = stack.enter_context(made)
            exec(code, given)
        return

    async def run() -> None:
        async with contextlib.AsyncExitStack() as stack:
            for wanted in missing(block):
                made = pool_or_client(procall.aio, wanted)
                given[wanted] = await stack.enter_async_context(made)
            await eval(code, given) if code.co_flags & inspect.CO_COROUTINE else exec(code, given)

    asyncio.run(run())


def pool_or_client(offers: Any, name: str) -> Any:
    if name == "calc":
        return offers.connect("calc")
    return offers.Pool("calc.py", workers=2, show_output=False)


def test_the_native_classes_say_what_their_declarations_say() -> None:
    """One is for ``help``, the other one for editors."""
    declared = ast.parse((HERE.parent / "procall" / "_native.pyi").read_text())
    classes = {node.name: node for node in declared.body if isinstance(node, ast.ClassDef)}
    for native in (procall.Context, procall.Peer, procall.Stream, procall.aio.Stream):
        node = classes[native.__name__]
        assert inspect.getdoc(native) == ast.get_docstring(node)
        functions = [each for each in node.body if isinstance(each, ast.FunctionDef)]
        told = {each.name: ast.get_docstring(each) for each in functions if each.name[0] != "_"}
        members = public_members(native)
        assert {name: inspect.getdoc(member) for name, member in members.items()} == told


def documented() -> Iterator[tuple[str, Any]]:
    for module, offers in MODULES.items():
        for name in offers.__all__:
            item = getattr(offers, name)
            if name.startswith("_") or inspect.ismodule(item):
                continue
            yield f"{module}.{name}", item


@pytest.mark.parametrize(("where", "item"), list(documented()))
def test_every_public_name_is_in_an_example(where: str, item: Any) -> None:
    """A name is shown by its own docstring, or by another one of its class."""
    if inspect.isclass(item) and issubclass(item, procall.Error) and item is not procall.Error:
        assert inspect.getdoc(item), where
        return
    assert f"{where}-1" in EXAMPLES, f"{where} has no example"
    if not inspect.isclass(item):
        return
    members = public_members(item)
    undocumented = [member for member, value in members.items() if not inspect.getdoc(value)]
    assert undocumented == [], f"{where} has members without a docstring"
    own = (f"{where}-", f"{where}.")
    shown = "\n".join(block for name, block in EXAMPLES.items() if name.startswith(own))
    missing = [member for member in members if not re.search(rf"\.{member}\b", shown)]
    assert missing == [], f"{where} has members without an example"
