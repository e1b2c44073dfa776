"""
Whether the golden decisions notice a changed engine: each mutant is one small change of its source, and has to be noticed.

`python -m benchmarks.mutation` takes a few minutes and is no part of what must pass. It tries every mutant that it can
make, so nothing is left to chance; one is killed where the golden decisions are answered differently, raise, or do not end.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODULES = ("evaluator", "forms", "switches", "hashing", "operators", "bucketing", "ramps", "targeting")
SECONDS = 20.0
BOUND = 0.90
_CHECK = """
from configkit.flags.compiled import compile_set
from tests.flag_vectors import flag_set
from tests.unit.flags import test_bucketing, test_vectors
for vector in test_bucketing.VECTORS["buckets"]:
    test_bucketing.test_hash_and_bucket_are_those_of_flagd(vector)
test_vectors.test_the_core_decides_as_the_golden_data_says(compile_set(flag_set()))
test_vectors.test_the_library_decides_as_the_golden_data_says(test_vectors.library())
test_vectors.test_every_variant_that_is_served_is_counted_once(compile_set(flag_set()))
test_vectors.test_what_was_asked_before_takes_the_short_way_and_is_counted(compile_set(flag_set()))
with test_vectors.pytest.MonkeyPatch.context() as patch:
    test_vectors.test_user_ids_of_a_length_that_was_seen_are_hashed_without_a_call(compile_set(flag_set()), patch)
"""
_SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn,
    ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And, ast.Add: ast.Sub, ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr,
}  # fmt: skip

_TURNED = {"min": "max", "max": "min", "any": "all", "all": "any"}


def _places(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Yield what can be changed, and how: never docstrings and annotations."""
    seen = set()
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        for statement in function.body:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                continue
            for node in ast.walk(statement):
                if id(node) in seen:  # of a function within a function
                    continue
                seen.add(id(node))
                if isinstance(node, ast.Compare) and type(node.ops[0]) in _SWAPS:
                    yield node, "compare"
                elif isinstance(node, ast.BoolOp | ast.BinOp) and type(node.op) in _SWAPS:
                    yield node, "operator"
                elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
                    yield node, "not"
                elif isinstance(node, ast.Constant) and type(node.value) in (bool, int):
                    yield node, "constant"
                elif isinstance(node, ast.If):
                    yield node, "condition"
                elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _TURNED:
                    yield node, "function"


def _change(node: ast.AST, how: str) -> None:
    if how == "compare":
        assert isinstance(node, ast.Compare)
        node.ops[0] = _SWAPS[type(node.ops[0])]()  # type: ignore[call-overload]
    elif how == "operator":
        assert isinstance(node, ast.BoolOp | ast.BinOp)
        node.op = _SWAPS[type(node.op)]()  # type: ignore[assignment]
    elif how == "not":
        assert isinstance(node, ast.UnaryOp)
        node.op, node.operand = ast.Not(), ast.UnaryOp(ast.Not(), node.operand)
    elif how == "constant":
        assert isinstance(node, ast.Constant)
        node.value = not node.value if isinstance(node.value, bool) else int(node.value) + 1  # type: ignore[call-overload]
    elif how == "condition":
        assert isinstance(node, ast.If)
        node.test = ast.UnaryOp(ast.Not(), node.test)
    else:
        assert isinstance(node, ast.Call)
        assert isinstance(node.func, ast.Name)
        node.func.id = _TURNED[node.func.id]


def mutants() -> list[tuple[str, str, str]]:
    """Return module, description and source of each mutant."""
    made = []
    for module in MODULES:
        source = (ROOT / "src" / "configkit" / "flags" / f"{module}.py").read_text(encoding="utf-8")
        for number in range(len(list(_places(ast.parse(source))))):
            tree = ast.parse(source)
            node, how = list(_places(tree))[number]
            before = ast.unparse(node).splitlines()[0]
            _change(node, how)
            line = getattr(node, "lineno", 0)
            made.append((module, f"{module}.py:{line} {how}: {before}", ast.unparse(ast.fix_missing_locations(tree))))
    return made


def is_killed(package: Path) -> bool:
    """Return whether the golden decisions notice that *package* was changed."""
    env = {**os.environ, "PYTHONPATH": f"{package}:{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run([sys.executable, "-c", _CHECK], env=env, cwd=ROOT, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0


def main() -> int:
    survivors = []
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder)
        shutil.copytree(ROOT / "src" / "configkit", package / "configkit")
        if is_killed(package):
            print("the golden decisions do not hold as things are")
            return 1
        chosen = mutants()
        for number, (module, what, source) in enumerate(chosen, 1):
            place = package / "configkit" / "flags" / f"{module}.py"
            original = place.read_text(encoding="utf-8")
            place.write_text(source, encoding="utf-8")
            if not is_killed(package):
                survivors.append(what)
            place.write_text(original, encoding="utf-8")
            if number % 25 == 0:
                print(f"{number}/{len(chosen)}, {len(survivors)} survived", flush=True)
    share = 1 - len(survivors) / len(chosen)
    print("\n".join(["survivors:", *sorted(survivors)]))
    print(f"{share:.1%} of {len(chosen)} mutants killed (bound: {BOUND:.0%})")
    return 0 if share >= BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
