"""Dopesheets: read as they are, written back, named in sweep files, and refused in one line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prepe import sweep, timeline
from prepe.errors import PrepeError
from prepe.keyframes import Column, Schedule, read_dopesheet, to_csv, values_at

SHEETS = Path(__file__).with_name("sheets")
SWEEPS = Path(__file__).parents[2] / "sweeps"
WORKED = SHEETS / "worked.csv"
ALL = sorted(SHEETS.glob("*.csv"))


def written(folder: Path, text: str) -> Path:
    path = folder / "sheet.csv"
    path.write_text(text)
    return path


def values(schedule: Schedule) -> dict[str, list[float]]:
    """Return every parameter's value at every step."""
    steps = np.arange(schedule.steps)
    return {name: values_at(schedule, name, steps).tolist() for name in sorted(schedule.names())}


def value(schedule: Schedule, name: str, step: int) -> float:
    return float(values_at(schedule, name, np.array([step])).item())


# --- the worked sheet -------------------------------------------------------------------------------------------------


def test_the_worked_sheet_has_its_steps_phases_columns_and_keys() -> None:
    sheet = read_dopesheet(WORKED)
    assert [frame.step for frame in sheet.keyframes] == [0, 4, 10, 11, 12]
    assert sheet.steps == 13
    assert [frame.phase for frame in sheet.keyframes] == ["One", None, "Two", "Fin", None]
    assert sheet.columns == {"x": Column(space="log"), "z": Column(timing="step-end")}
    assert [frame.values for frame in sheet.keyframes] == [
        {"x": 0.01, "z": 1},
        {"y": 0.8, "z": 2},
        {"x": 0.001, "z": 3},
        {"y": 0, "z": 4},
        {},
    ]


@pytest.mark.parametrize(
    ("step", "phase", "flags", "actions", "x", "y", "z"),
    [
        (0, "One", "start", [], 0.01, 0.8, 1),
        (1, "One", "", [], 0.00980483, 0.8, 1),
        (4, "One", "", ["foo"], 0.00481460, 0.8, 2),
        (5, "One", "", [], 0.00316228, 0.781389, 2),
        (8, "One", "", [], 0.00114267, 0.294306, 2),
        (9, "One", "end", [], 0.00101991, 0.115761, 2),
        (10, "Two", "start end", [], 0.001, 0.0186113, 3),
        (11, "Fin", "start", [], 0.001, 0, 4),
        (12, "Fin", "end", [], 0.001, 0, 4),
    ],
)
def test_the_worked_sheet_says_this_at_each_step(
    step: int, phase: str, flags: str, actions: list[str], x: float, y: float, z: float
) -> None:
    now = timeline.at(read_dopesheet(WORKED), step)
    assert (now["phase"], now["actions"]) == (phase, actions)
    assert (now["starts"], now["ends"]) == ("start" in flags, "end" in flags)
    assert now["values"] == pytest.approx({"x": x, "y": y, "z": z}, rel=1e-5, abs=1e-12)


@pytest.mark.parametrize(
    ("step", "keys"),
    [
        (0, {"x": (0.01, 10, 0.001), "z": (1, 4, 2)}),
        (4, {"y": (0.8, 11, 0), "z": (2, 10, 3)}),
        (5, {}),
        (10, {"x": (0.001, None, None), "z": (3, 11, 4)}),
        (11, {"y": (0, None, None), "z": (4, None, None)}),
        (12, {}),
    ],
)
def test_the_worked_sheet_says_what_is_keyed_at_a_step_and_what_follows(
    step: int, keys: dict[str, tuple[float, int | None, float | None]]
) -> None:
    found = timeline.at(read_dopesheet(WORKED), step)["keys"]
    assert {name: tuple(key.values()) for name, key in found.items()} == keys


# --- the published sheets ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("ex-1.5", "0 1200 1800 3000 3350 6500 8600 10000 10500 13000 20000"),
        ("ex-1.6-smooth", "0 10 200 300 499 500 950 1400 4999 5000 5010 6500 7500 10000"),
        (
            "ex-1.6-stepped",
            "0 10 90 100 110 290 300 310 490 500 510 990 1000 1010 4990 5000 5010 6490 6500 6510 10000",
        ),
        ("ex-1.7", "0 10 500 2500 3500 5000 7500 10000"),
    ],
)
def test_the_published_sheets_have_their_steps(name: str, steps: str) -> None:
    sheet = read_dopesheet(SHEETS / f"{name}.csv")
    assert [frame.step for frame in sheet.keyframes] == [int(step) for step in steps.split()]
    assert sheet.steps == sheet.keyframes[-1].step + 1


@pytest.mark.parametrize(
    ("sheet", "step", "expected"),
    [
        (
            "ex-1.5",
            100,
            {"lr": 0.01, "loss-recon": 0.998982, "reg-separate": 0.00152633, "reg-planar": 0.200315, "reg-norm": 0.1}
            | {"reg-anchor": 0, "data-fraction": 0},
        ),
        (
            "ex-1.5",
            1200,
            {"lr": 0.01, "loss-recon": 0.8, "reg-separate": 0.3, "reg-planar": 0.358025, "reg-norm": 0.1}
            | {"reg-anchor": 0, "data-fraction": 0},
        ),
        ("ex-1.5", 1800, {"reg-norm": 0.1}),
        ("ex-1.5", 3350, {"lr": 0.01}),
        (
            "ex-1.5",
            5000,
            {"lr": 0.00992494, "loss-recon": 0.8, "reg-separate": 0, "reg-planar": 0.0757276, "reg-norm": 0.25}
            | {"reg-anchor": 0.0739089, "data-fraction": 0.0361754},
        ),
        (
            "ex-1.5",
            15000,
            {"lr": 0.00247130, "loss-recon": 1, "reg-separate": 0, "reg-planar": 0, "reg-norm": 0.25}
            | {"reg-anchor": 0.194056, "data-fraction": 1},
        ),
        ("ex-1.6-smooth", 10, {"lr": 0.01}),
        ("ex-1.6-smooth", 950, {"lr": 0.0104938}),
        ("ex-1.6-smooth", 5000, {"lr": 0.02}),
        ("ex-1.6-smooth", 7500, {"lr": 0.0105}),
        ("ex-1.6-smooth", 10000, {"lr": 0.001}),
        ("ex-1.6-stepped", 1, {"lr": 8.56e-5}),
        ("ex-1.6-stepped", 5, {"lr": 0.005}),
        ("ex-1.6-stepped", 10, {"lr": 0.01}),
        ("ex-1.6-stepped", 499, {"reg-planar": 0.2, "data-hues": 0, "reg-anchor": 0}),
        ("ex-1.6-stepped", 500, {"reg-planar": 0.1, "data-hues": 0.5, "reg-anchor": 0.25}),
        ("ex-1.6-stepped", 10000, {"lr": 0.001}),
        ("ex-1.7", 10, {"lr": 0.01}),
        ("ex-1.7", 1000, {"reg-separate": 0.0189648, "reg-planar": 0.0390464, "reg-norm": 0.0210048}),
        ("ex-1.7", 3500, {"reg-separate": 0.007143, "reg-planar": 0.0609536, "reg-norm": 0.169015}),
        ("ex-1.7", 5000, {"lr": 0.01, "reg-polar": 0.006, "reg-norm-v": 0.02}),
        ("ex-1.7", 7500, {"reg-polar": 0.0002}),
        ("ex-1.7", 10000, {"lr": 0.005, "reg-polar": 0.0002, "reg-norm-v": 0.02}),
    ],
)
def test_the_published_sheets_have_their_values(sheet: str, step: int, expected: dict[str, float]) -> None:
    schedule = read_dopesheet(SHEETS / f"{sheet}.csv")
    found = {name: value(schedule, name, step) for name in expected}
    assert found == pytest.approx(expected, rel=2e-4, abs=1e-10)


def test_a_parameter_holds_its_first_value_until_its_second_key() -> None:
    late = read_dopesheet(SHEETS / "ex-1.5.csv")
    assert set(values_at(late, "lr", np.arange(3351))) == {0.01}
    assert value(late, "lr", 3400) < 0.01
    assert set(values_at(read_dopesheet(SHEETS / "ex-1.7.csv"), "reg-polar", np.arange(5001))) == {0.006}


@pytest.mark.parametrize(
    ("sheet", "starts", "ends"),
    [
        ("ex-1.5", (0, 3000, 10000), (2999, 9999, 20000)),
        ("ex-1.6-smooth", (0, 500, 5000), (499, 4999, 10000)),
        ("ex-1.6-stepped", (0, 100, 300, 500, 1000, 5000, 6500), (99, 299, 499, 999, 4999, 6499, 10000)),
        ("ex-1.7", (0,), (10000,)),
    ],
)
def test_the_published_phases_start_and_end_where_they_should(
    sheet: str, starts: tuple[int, ...], ends: tuple[int, ...]
) -> None:
    schedule = read_dopesheet(SHEETS / f"{sheet}.csv")
    near = sorted({max(0, min(step + d, schedule.steps - 1)) for step in (*starts, *ends) for d in (-1, 0, 1)})
    found = [timeline.at(schedule, step) for step in near]
    assert tuple(now["step"] for now in found if now["starts"]) == starts
    assert tuple(now["step"] for now in found if now["ends"]) == ends


@pytest.mark.parametrize(
    ("sheet", "file", "variant"),
    [
        ("ex-1.5", "ex-1.5", None),
        ("ex-1.6-smooth", "ex-1.6", "smooth"),
        ("ex-1.6-stepped", "ex-1.6", "stepped"),
        ("ex-1.7", "ex-1.7", None),
    ],
)
def test_the_shipped_sweeps_have_the_published_schedules(sheet: str, file: str, variant: str | None) -> None:
    shipped, published = timeline.load(SWEEPS / f"{file}.toml", variant), read_dopesheet(SHEETS / f"{sheet}.csv")
    assert values(shipped) == values(published)
    assert shipped.actions() == published.actions()
    assert [(f.step, f.phase) for f in shipped.keyframes] == [(f.step, f.phase) for f in published.keyframes]


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "name", "column"),
    [
        ("x", "x", None),
        ("x:", "x", None),
        ("x::", "x", None),
        ("x:linear:minjerk", "x", Column(timing="minjerk")),
        ("x:log", "x", Column(space="log")),
        ("x::step-end", "x", Column(timing="step-end")),
        ("x::step", "x", Column(timing="step-end")),
        ("x:log:linear", "x", Column(space="log", timing="linear")),
        (" x", " x", None),
    ],
)
def test_a_header_says_name_space_and_timing(head: str, name: str, column: Column | None, tmp_path: Path) -> None:
    sheet = read_dopesheet(written(tmp_path, f"STEP,{head}\n0,1\n"))
    assert sheet.names() == [name]
    assert sheet.columns == ({} if column is None else {name: column})


def test_rows_are_sorted_by_step_and_phases_and_actions_may_be_left_out(tmp_path: Path) -> None:
    sheet = read_dopesheet(written(tmp_path, "x,STEP\n3,20\n2,+0.5\n1,0\n\n"))
    assert [(frame.step, frame.values["x"]) for frame in sheet.keyframes] == [(0, 1), (10, 2), (20, 3)]


def test_an_action_cell_has_names_with_commas_between_them_for_that_step_alone(tmp_path: Path) -> None:
    sheet = read_dopesheet(written(tmp_path, 'STEP,ACTION,x\n0,"anchor, freeze",1\n5,anchor,\n9,,\n'))
    assert sheet.actions() == {0: ("anchor", "freeze"), 5: ("anchor",)}


def test_a_byte_order_mark_line_ends_of_windows_and_short_rows_are_read(tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    path.write_bytes("\ufeffSTEP,x,y\r\n0,1,2\r\n5\r\n".encode())
    assert read_dopesheet(path) == read_dopesheet(written(tmp_path, "STEP,x,y\n0,1,2\n5,,\n"))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "the file is empty; allowed: a header with STEP"),
        ("\n\n", "the file is empty"),
        ("step,x\n0,1\n", "row 1: there is no column STEP among step, x"),
        ("STEP,x\n", "there is no row below the header; allowed: one for each keyframe"),
        ("STEP,x,x\n0,1,2\n", "row 1: the column 'x' stands twice; allowed: each once"),
        ("STEP,x,x:log\n0,1,2\n", "row 1, column 'x:log': the parameter 'x' has two columns; allowed: one"),
        ("STEP,a:b:c:d\n0,1\n", "row 1, column 'a:b:c:d': not understood; allowed: name, name:space"),
        ("STEP,x:::\n0,1\n", "row 1, column 'x:::': not understood"),
        ("STEP,:log\n0,1\n", "row 1, column ':log': not understood"),
        ("STEP,\n0,1\n", "row 1, column '': not understood"),
        ("STEP,x:lag\n0,1\n", "column 'x:lag': unknown space 'lag' (did you mean 'log'?); allowed: linear, log"),
        (
            "STEP,x::smooth\n0,1\n",
            "column 'x::smooth': unknown timing 'smooth'; allowed: minjerk, linear, step-end, step",
        ),
        ("STEP,x\n0,1\n5,2\n\n5,3\n", "row 5, column 'STEP': '5' is step 5, as row 3 is; allowed: each step once"),
        ("STEP,x\n0,1\n+5,2\n5,3\n", "row 4, column 'STEP': '5' is step 5, as row 3 is"),
        ("STEP,x\n0,1\n+0,2\n5,3\n", "row 3, column 'STEP': '+0' cannot be resolved; allowed: a step, '+10'"),
        ("STEP,x\n+5,1\n10,2\n", "row 2, column 'STEP': '+5' cannot be resolved"),
        ("STEP,x\n0,1\n,2\n", "row 3, column 'STEP': '' cannot be resolved"),
        ("STEP,x\n0,1\n10000000,2\n", "row 3, column 'STEP': '10000000' is step 10000000; allowed: below 10000000"),
        ("STEP,x\n0,1\n5,fast\n", "row 3, column 'x': 'fast' stands here; allowed: a number of 0 or more, or nothing"),
        ("STEP,x:log\n0,-1\n", "row 2, column 'x:log': '-1' stands here"),
        ("STEP,x\n0,nan\n", "row 2, column 'x': 'nan' stands here"),
        ("STEP,x\n0,1e999\n", "row 2, column 'x': '1e999' stands here"),
        ("STEP,x\n0,1_000\n", "row 2, column 'x': '1_000' stands here"),
        ("STEP,x,y\n0,1,\n9,2,\n", "column 'y': no row has a value; allowed: at least one"),
        ("STEP,x\n0,1\n5,2,3\n", "row 3: 3 cells; allowed: 2, as many as the header"),
        ('STEP,ACTION,x\n0,"a,,b",1\n', "row 2, column 'ACTION': 'a,,b' stands here; allowed: names with commas"),
        ('STEP,x\n0,"1\n', "not a CSV file: "),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text: str, fault: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(PrepeError) as refused:
        read_dopesheet(path)
    message = str(refused.value)
    assert message.startswith(f"{path}: ")
    assert fault in message
    assert "\n" not in message


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PrepeError, match=r"sheet.csv: cannot be read: No such file"):
        read_dopesheet(tmp_path / "sheet.csv")
    (tmp_path / "sheet.csv").write_bytes(b"STEP,x\n0,\xff\n")
    with pytest.raises(PrepeError, match="not a CSV file: "):
        read_dopesheet(tmp_path / "sheet.csv")


# --- writing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_a_sheet_written_and_read_again_is_the_same_schedule(path: Path, tmp_path: Path) -> None:
    schedule = read_dopesheet(path)
    text = to_csv(schedule)
    again = read_dopesheet(written(tmp_path, text))
    assert again == schedule
    assert to_csv(again) == text


def test_the_worked_sheet_is_written_with_steps_as_numbers() -> None:
    assert to_csv(read_dopesheet(WORKED)) == (
        "STEP,PHASE,ACTION,x:log,z::step-end,y\n"
        "0,One,,0.01,1,\n4,,foo,,2,0.8\n10,Two,,0.001,3,\n11,Fin,,,4,0\n12,,,,,\n"
    )


def test_a_schedule_of_another_default_timing_and_more_steps_is_written_so_that_it_moves_alike(tmp_path: Path) -> None:
    frames = [{"step": 0, "a": 0.1, "b": 1, "phase": "p, q", "actions": ["u", "v"]}, {"step": 7, "a": 1 / 3, "b": 0}]
    table = {"keyframes": frames, "timing": "linear", "columns": {"b": {"space": "log", "timing": "minjerk"}}}
    schedule = Schedule.model_validate({**table, "steps": 20})
    again = read_dopesheet(written(tmp_path, to_csv(schedule)))
    assert values(again) == values(schedule)
    assert (again.steps, again.actions()) == (20, schedule.actions())
    assert again.keyframes[0].phase == "p, q"


@pytest.mark.parametrize(
    ("frame", "fault"),
    [
        ({"a:b": 1}, "the parameter 'a:b'"),
        ({"STEP": 1}, "the parameter 'STEP'"),
        ({"a": 1, "phase": ""}, "the phase ''"),
        ({"a": 1, "actions": ["x,y"]}, "the action 'x,y'"),
    ],
)
def test_a_name_that_would_be_read_as_something_else_is_not_written(frame: dict[str, Any], fault: str) -> None:
    schedule = Schedule.model_validate({"keyframes": [{"step": 0, **frame}]})
    with pytest.raises(PrepeError, match=f"{fault} cannot stand in a dopesheet; allowed: "):
        to_csv(schedule)


# --- in a sweep file --------------------------------------------------------------------------------------------------

BODY = """
question = "Does a sheet stand for keyframes?"
members = 2
[data]
kind = "rgb_grid"
[model]
kind = "autoencoder"
latent_dim = 4
hidden_dim = 8
[terms.x]
kind = "unit_norm"
"""
SHEET = "STEP,PHASE,lr:log,x::step\n0,One,0.01,1\n+0.5,,,2\n10,Two,0.001,\n"
SAME = """
[schedule]
batch_size = 8
keyframes = [
  { step = 0, phase = "One", lr = 0.01, x = 1 },
  { step = 5, x = 2 },
  { step = 10, phase = "Two", lr = 0.001 },
]
[schedule.columns]
lr = { space = "log" }
x = { timing = "step-end" }
"""
NAMED = '\n[schedule]\nbatch_size = 8\ndopesheet = "sheets/one.csv"\n'


def sweep_of(folder: Path, text: str, **sheets: str) -> Path:
    """Write a sweep file and its sheets, which lie in a folder beside it."""
    (folder / "sheets").mkdir(exist_ok=True)
    for name, sheet in sheets.items():
        (folder / "sheets" / f"{name}.csv").write_text(sheet)
    path = folder / "sheeted.toml"
    path.write_text(BODY + text)
    return path


def test_a_sheet_stands_for_keyframes_and_columns_so_that_both_forms_are_one_training(tmp_path: Path) -> None:
    trials = [sweep.load(sweep_of(tmp_path, text, one=SHEET)).trial({}) for text in (NAMED, SAME)]
    assert trials[0] == trials[1]
    assert trials[0].digest() == trials[1].digest()
    assert trials[0].training.schedule.batch_size == 8


def test_a_path_is_taken_from_the_sweep_file_wherever_the_program_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = sweep_of(tmp_path, NAMED, one=SHEET)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert sweep.load(path).trial({}).training.schedule.steps == 11


def test_the_sheet_of_a_variant_replaces_all_that_was_keyed_before(tmp_path: Path) -> None:
    other = "STEP,lr::linear,x\n0,0.5,1\n4,0.1,\n"
    text = f'{NAMED}[variants.one]\n[variants.two.schedule]\ndopesheet = "sheets/two.csv"\nbatch_size = 4\n'
    path = sweep_of(tmp_path, text, one=SHEET, two=other)
    first, second = (timeline.load(path, variant) for variant in ("one", "two"))
    assert values(first) == values(read_dopesheet(tmp_path / "sheets" / "one.csv"))
    assert second == read_dopesheet(tmp_path / "sheets" / "two.csv").model_copy(update={"batch_size": 4})
    assert second.columns == {"lr": Column(timing="linear")}


def test_the_sheet_of_a_variant_replaces_hand_written_columns_too(tmp_path: Path) -> None:
    text = f'{SAME}z = {{ space = "log" }}\n[variants.two.schedule]\ndopesheet = "sheets/two.csv"\n'
    path = sweep_of(tmp_path, text, two="STEP,lr,x:log\n0,0.5,1\n4,0.1,\n")
    assert timeline.load(path, "two").columns == {"x": Column(space="log")}


@pytest.mark.parametrize(
    ("text", "sheet", "fault"),
    [
        (NAMED, "STEP,lr\n0,high\n", "schedule.dopesheet: {sheet}: row 2, column 'lr': 'high' stands here; allowed"),
        (NAMED.replace("one", "no"), SHEET, "schedule.dopesheet: {folder}/sheets/no.csv: cannot be read: No such file"),
        (NAMED + "keyframes = []", SHEET, "schedule.keyframes: a dopesheet stands for it; allowed: one of the two"),
        (NAMED + "columns = {}", SHEET, "schedule.columns: a dopesheet stands for it; allowed: one of the two"),
        ("\n[schedule]\ndopesheet = 3\n", SHEET, "schedule.dopesheet: 3 stands here; allowed: a text in quotes"),
        (NAMED, "STEP,lr\n0,1\n", "schedule.keyframes: no keyframe gives the weight of the term 'x'"),
        (NAMED, "STEP,lr,x,y\n0,1,1,1\n", "schedule.keyframes[0]: unknown key 'y'"),
        (
            NAMED + "[variants.a.schedule]\ndopesheet = 'b.csv'\n",
            SHEET,
            "variants.a.schedule.dopesheet: {folder}/b.csv:",
        ),
    ],
)
def test_what_is_wrong_with_a_sheet_in_a_sweep_file_is_said_in_one_line(
    text: str, sheet: str, fault: str, tmp_path: Path
) -> None:
    path = sweep_of(tmp_path, text, one=sheet)
    with pytest.raises(PrepeError) as refused:
        sweep.load(path)
    message = str(refused.value)
    expected = fault.format(sheet=tmp_path / "sheets" / "one.csv", folder=tmp_path)
    assert message.startswith(f"{path}: {expected}")
    assert "\n" not in message
