"""The rules that keep the code readable: layers, sizes, names, and what is written nowhere. Style is ruff's."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from isthmusd.providers import catalog

ROOT = Path(__file__).parents[1]
SERVER = "server/isthmusd"
CODE = (SERVER, "clients/python", "bench", "tests")
GENERATED = ("clients/python/isthmus/v1/",)

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_PARAMETERS = 6
EMPTY_NAMES = frozenset({"utils", "util", "helpers", "helper", "common", "misc", "manager", "shared"})
PURE = ("core", "framing", "dialects", "providers")

BROAD_EXCEPTS: dict[str, str] = {
    "server/isthmusd/rpc/openai.py": "the edge of the process: a bug is opaque outside and complete in the record",
    "server/isthmusd/rpc/typed.py": "the edge of the process: a bug is opaque outside and complete in the record",
    "server/isthmusd/pipeline/producing.py": "a task that many calls wait for: each of them raises what ended it",
    "server/isthmusd/stores/directory.py": "a background loop: whatever fails, the watch for revocations goes on",
    "server/isthmusd/stores/cache_thread.py": "not swallowed: whoever waits for the answer gets it",
    "server/isthmusd/observe/sink.py": "a background loop: one bad item must not end the log of all that follow",
}
"""File to the reason why it may catch what it cannot name."""

ENVIRONMENT_READERS: dict[str, str] = {
    "server/isthmusd/cli/": "the process is entered here; settings get the environment as an argument",
    "server/isthmusd/worker.py": "the supervisor tells a worker its socket and settings file this way",
    "server/isthmusd/recorder.py": "as a worker",
}
"""Path to the reason why it may touch os.environ."""

READS_ENVIRONMENT = re.compile(r"\bos\.(environ|getenv)\b")
MACHINE_PATHS = re.compile(
    r"/(?:work|tmp|root)/(?:main|shared|bash_jobs|h|\.cache|\.pyenv)\b|/home/(?!user\b|app\b|isthmus\b)\w+/"
)
SILENCING = re.compile(r"#\s*(?:noqa|type:\s*ignore|pyright:\s*ignore|pragma:\s*no\s*cover)(?P<rest>.*)")
REASONED = re.compile(r"(?::\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*|\[[\w-]+(?:,\s*[\w-]+)*\]|)\s+\S+(?:\s+\S+)+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One hand-written Python file."""

    path: str
    text: str
    tree: ast.Module

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node


@cache
def sources(*folders: str) -> tuple[Source, ...]:
    """Read what stands in the folders; generated code and installed peers are not ours."""
    paths = (path.relative_to(ROOT).as_posix() for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))
    ours = [
        path for path in paths if not path.startswith(GENERATED) and "/." not in path and "/node_modules/" not in path
    ]
    texts = {path: (ROOT / path).read_text(encoding="utf-8") for path in ours}
    return tuple(Source(path=path, text=text, tree=ast.parse(text, path)) for path, text in texts.items())


def found(folders: tuple[str, ...], judge: Callable[[Source], Iterator[str]]) -> list[str]:
    """Give every complaint as `path: complaint`."""
    return [f"{source.path}:{complaint}" for source in sources(*folders) for complaint in judge(source)]


def test_imports_follow_the_layers() -> None:
    # In a process of its own: it configures logging, which silences the loggers of all tests after it.
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(cache_dir=None))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_dialect_is_held_apart_from_the_others() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    apart = next(contract for contract in contracts if contract["type"] == "independence")

    folders = {f"isthmusd.dialects.{path.parent.name}" for path in (ROOT / SERVER / "dialects").glob("*/__init__.py")}

    assert set(apart["modules"]) == folders


def test_files_are_short() -> None:
    def judge(source: Source) -> Iterator[str]:
        lines = source.text.count("\n")
        if lines > MAX_FILE_LINES:
            yield f" {lines} lines"

    assert found(CODE, judge) == []


def test_functions_are_short() -> None:
    def judge(source: Source) -> Iterator[str]:
        for function in source.functions():
            lines = (function.end_lineno or 0) - function.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                yield f"{function.lineno}: {function.name} has {lines} lines"

    assert found(CODE, judge) == []


def test_functions_take_few_parameters() -> None:
    def judge(source: Source) -> Iterator[str]:
        for function in source.functions():
            names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
            count = len(names) - (names[:1] in (["self"], ["cls"]))
            if count > MAX_PARAMETERS:
                yield f"{function.lineno}: {function.name} takes {count}"

    assert found(CODE, judge) == []


def test_names_of_files_say_what_is_in_them() -> None:
    paths = [Path(source.path) for source in sources(*CODE)]

    assert [str(path) for path in paths if EMPTY_NAMES & {path.stem, *path.parts}] == []


def test_every_module_says_what_it_is_for() -> None:
    def judge(source: Source) -> Iterator[str]:
        if source.tree.body and not ast.get_docstring(source.tree):
            yield " no docstring"

    assert found(CODE, judge) == []


def test_public_functions_and_classes_of_the_server_have_docstrings() -> None:
    def judge(source: Source) -> Iterator[str]:
        for node in source.tree.body:
            documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
            if isinstance(node, documented) and not node.name.startswith("_") and needs_docstring(node):
                yield f"{node.lineno}: {node.name}"

    assert found((SERVER,), judge) == []


def needs_docstring(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    """Enums and values explain themselves by their fields; what acts does not."""
    if ast.get_docstring(node):
        return False
    return not isinstance(node, ast.ClassDef) or any(
        isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef) for part in node.body
    )


def test_errors_are_caught_by_name() -> None:
    def judge(source: Source) -> Iterator[str]:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ExceptHandler) and is_broad(node) and source.path not in BROAD_EXCEPTS:
                yield f"{node.lineno}: except {ast.unparse(node.type) if node.type else ''}"
            elif isinstance(node, ast.Call) and ast.unparse(node).startswith(
                ("suppress(Exc", "contextlib.suppress(Exc")
            ):
                yield f"{node.lineno}: {ast.unparse(node)}"

    assert found((SERVER, "clients/python", "bench"), judge) == []


def test_exceptions_to_the_rules_are_still_needed() -> None:
    handlers = {
        source.path
        for source in sources(SERVER)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ExceptHandler) and is_broad(node)
    }
    readers = [source.path for source in sources(SERVER) if READS_ENVIRONMENT.search(source.text)]

    assert set(BROAD_EXCEPTS) <= handlers
    assert all(any(path.startswith(allowed) for path in readers) for allowed in ENVIRONMENT_READERS)


def is_broad(handler: ast.ExceptHandler) -> bool:
    """Whether it swallows what it cannot name; cleaning up and raising again is no swallowing."""
    names = re.findall(r"\w+", ast.unparse(handler.type)) if handler.type else ["BaseException"]
    ends_raising = isinstance(handler.body[-1], ast.Raise) and handler.body[-1].exc is None
    return bool({"Exception", "BaseException"} & set(names)) and not ends_raising


def test_tasks_have_an_owner() -> None:
    def judge(source: Source) -> Iterator[str]:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                called = ast.unparse(node.value.func)
                if called.endswith(("create_task", "ensure_future")) and called.startswith(("asyncio.", "loop.")):
                    yield f"{node.lineno}: {called} without an owner"

    assert found(CODE, judge) == []


def test_providers_are_never_told_apart_by_name() -> None:
    names = set(catalog.CATALOG)

    def judge(source: Source) -> Iterator[str]:
        if source.path.startswith(f"{SERVER}/providers/"):
            return
        for node in ast.walk(source.tree):
            compared = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
            compared += [node.value] if isinstance(node, ast.MatchValue) else []
            if any(ast.unparse(side).endswith(("dialect", "surface")) for side in compared):
                continue  # wire formats are called like the provider that made them
            words = {part.value for side in compared for part in ast.walk(side) if isinstance(part, ast.Constant)}
            for name in words & names:
                yield f"{node.lineno}: compares {name!r}"

    assert found((SERVER,), judge) == []


def test_the_environment_is_read_in_one_place() -> None:
    def judge(source: Source) -> Iterator[str]:
        if not source.path.startswith(tuple(ENVIRONMENT_READERS)) and READS_ENVIRONMENT.search(source.text):
            yield " os.environ"

    assert found((SERVER,), judge) == []


def test_nothing_asks_whether_an_attribute_exists() -> None:
    def judge(source: Source) -> Iterator[str]:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Name) and node.id == "hasattr":
                yield f"{node.lineno}: hasattr"

    assert found((SERVER, "clients/python"), judge) == []


def test_the_pure_half_has_no_coroutines() -> None:
    def judge(source: Source) -> Iterator[str]:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
                yield f"{node.lineno}: async"

    assert found(tuple(f"{SERVER}/{layer}" for layer in PURE), judge) == []


def test_tests_use_fakes_that_run_instead_of_patches() -> None:
    def judge(source: Source) -> Iterator[str]:
        for node in ast.walk(source.tree):
            name = getattr(node, "module", None) if isinstance(node, ast.ImportFrom) else getattr(node, "arg", None)
            if name in ("unittest.mock", "monkeypatch"):
                yield f"{getattr(node, 'lineno', '')}: {name}"

    assert found(("tests",), judge) == []


def test_whatever_is_silenced_has_a_reason() -> None:
    def judge(source: Source) -> Iterator[str]:
        for number, line in enumerate(source.text.splitlines(), 1):
            silenced = SILENCING.search(line)
            if silenced and not REASONED.match(silenced["rest"]):
                yield f"{number}: {silenced[0]}"

    assert found((SERVER, "clients/python", "bench"), judge) == []


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    complaints: list[str] = []
    for name in listed.decode().split("\0"):
        path = ROOT / name
        if not name or not path.is_file() or path == Path(__file__):
            continue
        text = path.read_bytes().decode("utf-8", "replace")
        complaints += [f"{name}: {hit[0]}" for hit in MACHINE_PATHS.finditer(text)]

    assert complaints == []
