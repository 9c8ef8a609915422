"""Users' own functions, by name."""

from pathlib import Path

import pytest

from prepe import custom
from prepe.errors import PrepeError


def test_a_function_is_found_by_module_and_name() -> None:
    from os.path import join

    assert custom.load("os.path:join") is join


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no_such_module:f", "the module 'no_such_module' cannot be imported: ModuleNotFoundError"),
        ("os.no_such:f", r"the module 'os\.no_such' cannot be imported"),
        ("os.path:no_such", r"the module 'os\.path' has no function 'no_such'"),
        ("os.path:sep", r"the module 'os\.path' has no function 'sep'"),
    ],
)
def test_a_function_that_does_not_exist_is_named(name: str, said: str) -> None:
    with pytest.raises(PrepeError, match=f"'{name}': {said}.*; allowed: package.module:function"):
        custom.load(name)


def test_a_module_that_fails_is_named_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "custom_failing.py").write_text("raise RuntimeError('not today')\n")
    with pytest.raises(PrepeError, match="'custom_failing' cannot be imported: RuntimeError: not today") as caught:
        custom.load("custom_failing:f")
    assert isinstance(caught.value.__cause__, RuntimeError)
