"""The contract's own checks notice what they are for: they fail on a contract that is broken on purpose."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
BUF = Path(sys.executable).parent / "buf"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "protos", tmp_path / "protos"))


def buf(*args: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BUF, *args], capture_output=True, text=True, timeout=60, check=False)


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


def test_the_contract_passes_lint_and_format() -> None:
    assert buf("lint", ROOT / "protos").stdout == ""
    assert buf("format", ROOT / "protos", "--path", ROOT / "protos/isthmus", "--diff").stdout == ""


def test_the_contract_breaks_no_caller() -> None:
    run = buf("breaking", ROOT / "protos", "--against", ROOT / "protos/baseline.binpb")

    assert (run.returncode, run.stdout) == (0, "")


@pytest.mark.parametrize(
    ("file", "old", "new", "rule"),
    [
        ("model.proto", "  // Its name.\n  string id = 1;", "  string id = 1;", "COMMENT_FIELD"),
        ("model.proto", "service ModelService {", "service Models {", "SERVICE_SUFFIX"),
        ("model.proto", "string owned_by = 3;", "string ownedBy = 3;", "FIELD_LOWER_SNAKE_CASE"),
    ],
)
def test_lint_notices(copy: Path, file: str, old: str, new: str, rule: str) -> None:
    replace(copy / "isthmus/v1" / file, old, new)

    run = buf("lint", copy, "--error-format", "json")

    assert run.returncode != 0
    assert f'"type":"{rule}"' in run.stdout


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("  // Its name.\n  string id = 1;", "", "FIELD_NO_DELETE"),
        ("string owned_by = 3;", "bytes owned_by = 3;", "FIELD_SAME_TYPE"),
        (
            "rpc ListModels(ListModelsRequest) returns (ListModelsResponse);",
            "rpc ListModels(ListModelsRequest) returns (stream ListModelsResponse);",
            "RPC_SAME_SERVER_STREAMING",
        ),
    ],
)
def test_breaking_notices(copy: Path, old: str, new: str, rule: str) -> None:
    replace(copy / "isthmus/v1/model.proto", old, new)

    run = buf("breaking", copy, "--against", copy / "baseline.binpb", "--error-format", "json")

    assert run.returncode != 0
    assert f'"type":"{rule}"' in run.stdout


def test_a_new_field_is_no_break(copy: Path) -> None:
    line = "  string owned_by = 3;"
    replace(copy / "isthmus/v1/model.proto", line, f"{line}\n  // More.\n  optional string more = 9;")

    assert buf("breaking", copy, "--against", copy / "baseline.binpb").returncode == 0


def test_envoys_descriptor_is_what_the_contract_builds(tmp_path: Path) -> None:
    built = tmp_path / "isthmus.binpb"

    buf("build", ROOT / "protos", "-o", built, "--as-file-descriptor-set", "--exclude-source-info")

    assert built.read_bytes() == (ROOT / "server/isthmusd/edge/isthmus.binpb").read_bytes()


def test_the_check_notices_edited_stubs(tmp_path: Path) -> None:
    tools = ROOT / ".venv-gen"
    if not (tools / ".ready").exists():
        pytest.skip("the generator is not installed: `make protos-check` does that")
    copy = tmp_path / "copy"
    for part in ("protos", "clients/python"):
        shutil.copytree(ROOT / part, copy / part)
    (copy / "server/isthmusd/edge").mkdir(parents=True)
    shutil.copy(ROOT / "server/isthmusd/edge/isthmus.binpb", copy / "server/isthmusd/edge")
    clean = subprocess.run(["protos/check.sh", tools], cwd=copy, capture_output=True, text=True, check=False)
    (copy / "clients/python/isthmus/v1/model_pb2.pyi").write_text("")

    edited = subprocess.run(["protos/check.sh", tools], cwd=copy, capture_output=True, text=True, check=False)

    assert clean.returncode == 0, clean.stdout + clean.stderr
    assert edited.returncode != 0
    assert "model_pb2.pyi" in edited.stdout
