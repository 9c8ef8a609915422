"""`python -m tests.module_map > docs/map.md`: what every module is for, by the first sentence of its docstring."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "prepe"
HEAD = """# Map

What every module is for, by its own first sentence. Written by `python -m tests.module_map > docs/map.md`.
Imports point one way only; `tests/test_layers.py` has the rule.
"""


def lines(folder: Path, depth: int = 1) -> list[str]:
    """Return a line for every module in a folder, and for every folder in it before its own modules."""
    found = []
    for path in sorted(folder.iterdir(), key=lambda each: (each.is_file(), each.name)):
        if path.is_dir() and (path / "__init__.py").exists():
            found += [f"{'  ' * depth}- **{path.name}/** {said(path / '__init__.py')}", *lines(path, depth + 1)]
        elif path.suffix == ".py" and path.name != "__init__.py":
            found.append(f"{'  ' * depth}- `{path.name}` {said(path)}")
    return found


def said(path: Path) -> str:
    """Return the first sentence of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split())


def text() -> str:
    return "\n".join([HEAD, f"- **prepe/** {said(PACKAGE / '__init__.py')}", *lines(PACKAGE)]) + "\n"


if __name__ == "__main__":
    print(text(), end="")
