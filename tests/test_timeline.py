"""What a schedule says at a step: from Python, and as `prepe schedule` prints it."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command import SOURCE, Said

import prepe
from prepe import timeline
from prepe.errors import PrepeError
from prepe.keyframes import Schedule, read_dopesheet

Cli = Callable[..., Said]
WORKED = Path(__file__).parent / "keyframes" / "sheets" / "worked.csv"
TINY = Path(__file__).with_name("tiny.toml")
SWEEPS = SOURCE / "sweeps"


def cells(line: str) -> list[str]:
    return re.split(r"  +", line.strip())


def test_without_a_step_there_is_a_row_for_each_keyframe() -> None:
    rows = prepe.schedule(WORKED)
    assert [row["step"] for row in rows] == [0, 4, 10, 11, 12]
    assert rows[1] == {"step": 4, "phase": None, "actions": ["foo"], "values": {"y": 0.8, "z": 2.0}}


def test_with_a_step_there_is_its_phase_its_actions_and_every_value() -> None:
    (row,) = prepe.schedule(WORKED, at=10)
    assert (row["step"], row["phase"], row["starts"], row["ends"], row["actions"]) == (10, "Two", True, True, [])
    assert row["values"] == pytest.approx({"x": 0.001, "y": 0.0186113, "z": 3}, rel=1e-5)


def test_a_search_has_the_values_that_it_starts_from() -> None:
    file = SWEEPS / "delete-red.toml"
    (row,) = prepe.schedule(file, at=750)
    assert {name: row["values"][name] for name in ("lr", "anchor", "anti_subspace", "separate")} == pytest.approx(
        {"lr": 0.1, "anchor": 0.1, "anti_subspace": 0.003, "separate": 0.001}
    )


def test_a_file_with_variants_has_the_schedule_of_each_the_first_when_none_is_named() -> None:
    file = SWEEPS / "ex-1.6.toml"
    lr = {name: prepe.schedule(file, at=500, variant=name)[0]["values"]["lr"] for name in (None, "smooth", "stepped")}
    assert lr["stepped"] == 1e-8
    assert lr[None] == lr["smooth"] > 0.01


def test_before_the_first_phase_there_is_none() -> None:
    schedule = Schedule.model_validate({"keyframes": [{"step": 0, "lr": 1.0}, {"step": 3, "phase": "A"}], "steps": 6})
    found = [timeline.at(schedule, step) for step in range(6)]
    assert [row["phase"] for row in found] == [None, None, None, "A", "A", "A"]
    assert [row["starts"] for row in found] == [False, False, False, True, False, False]
    assert [row["ends"] for row in found] == [False, False, False, False, False, True]


def test_a_schedule_that_ends_before_its_last_keyframe_ends_its_phase_there() -> None:
    frames = [{"step": 0, "lr": 1.0, "phase": "A"}, {"step": 9, "phase": "B"}]
    schedule = Schedule.model_validate({"keyframes": frames}).model_copy(update={"steps": 4})
    assert [timeline.at(schedule, step)["ends"] for step in range(4)] == [False, False, False, True]


def test_a_repeated_final_step_has_the_values_of_the_one_before() -> None:
    frames = [{"step": 0, "lr": 0.0}, {"step": 4, "lr": 1.0}]
    repeat = Schedule.model_validate({"keyframes": frames, "final_step": "repeat"})
    assert timeline.at(repeat, 4)["values"] == timeline.at(repeat, 3)["values"]
    assert timeline.at(repeat.model_copy(update={"final_step": "reach"}), 4)["values"] == {"lr": 1.0}


# --- the verb ---------------------------------------------------------------------------------------------------------


def test_the_verb_prints_the_keyframes_with_steps_as_numbers(prepe_cli: Cli) -> None:
    said = prepe_cli("schedule", WORKED)
    assert (said.code, said.err) == (0, "")
    title, header, *rows = said.out.splitlines()
    assert title == "13 updates, 5 keyframes"
    assert cells(header) == ["step", "phase", "actions", "x", "z", "y"]
    assert [cells(row) for row in rows] == [
        ["0", "One", "0.01", "1"],
        ["4", "foo", "2", "0.8"],
        ["10", "Two", "0.001", "3"],
        ["11", "Fin", "4", "0"],
        ["12"],
    ]


def test_the_verb_prints_what_holds_at_a_step(prepe_cli: Cli) -> None:
    said = prepe_cli("schedule", WORKED, "--at", 5)
    assert said.code == 0
    lines = [cells(line) for line in said.out.splitlines()]
    assert ["5", "One", "no", "no"] in lines
    assert [line for line in lines if line[0] in ("x", "y", "z")] == [
        ["x", "0.00316228"],
        ["z", "2"],
        ["y", "0.781389"],
    ]
    assert ["4", "One", "no", "no", "foo"] in [
        cells(line) for line in prepe_cli("schedule", WORKED, "--at", 4).out.splitlines()
    ]


def test_the_verb_writes_a_dopesheet_that_can_be_read(prepe_cli: Cli, tmp_path: Path) -> None:
    said = prepe_cli("schedule", SWEEPS / "ex-1.7.toml", "--csv")
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(said.out)
    assert said.out.startswith("STEP,PHASE,ACTION,lr,")
    assert read_dopesheet(sheet).keyframes == timeline.load(SWEEPS / "ex-1.7.toml").keyframes
    assert prepe_cli("schedule", sheet, "--csv").out == said.out


def test_the_verb_names_the_rules_that_may_change_what_it_prints(prepe_cli: Cli) -> None:
    said = prepe_cli("schedule", SWEEPS / "reactions.toml", "--variant", "release", "--at", 2000)
    assert said.out.splitlines()[-1] == "rules may change this: release"
    assert "rules may change" not in prepe_cli("schedule", SWEEPS / "reactions.toml", "--at", 2000).out


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ((WORKED, "--at", 13), f"{WORKED}: there is no step 13; allowed: 0 to 12"),
        ((WORKED, "--at", -1), f"{WORKED}: there is no step -1; allowed: 0 to 12"),
        ((TINY, "--at", 10**9), f"{TINY}: there is no step 1000000000; allowed: 0 to "),
        ((WORKED, "--variant", "a"), f"{WORKED}: unknown variant 'a'; allowed: none"),
        ((TINY, "--variant", "a"), f"{TINY}: unknown variant 'a'; allowed: none"),
        (
            (SWEEPS / "ex-1.6.toml", "--variant", "step"),
            "unknown variant 'step' (did you mean 'stepped'?); allowed: smooth, stepped",
        ),
        ((WORKED, "--csv", "--at", 3), "--csv and --at: both are given; allowed: at most one"),
        (("no.csv",), "no.csv: cannot be read: No such file or directory"),
        (("no.toml",), "no.toml: cannot be read: No such file or directory"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(arguments: tuple[object, ...], fault: str, prepe_cli: Cli) -> None:
    said = prepe_cli("schedule", *arguments)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("prepe: ")
    assert fault in said.err
    assert said.err.count("\n") == 1


def test_the_python_form_raises_what_the_verb_prints() -> None:
    with pytest.raises(PrepeError, match="there is no step 13; allowed: 0 to 12"):
        prepe.schedule(WORKED, at=13)


@pytest.mark.slow
def test_no_torch_is_loaded_for_a_schedule() -> None:
    code = (
        "import sys, prepe.cli\n"
        f"sys.argv = ['prepe', 'schedule', {str(SWEEPS / 'delete-red.toml')!r}, '--at', '3']\n"
        "try: prepe.cli.main()\n"
        "except SystemExit as leaving: assert not leaving.code\n"
        "print(*sorted({'torch', 'ray', 'optuna'} & set(sys.modules)), 'done')"
    )
    environment = {"PYTHONPATH": str(SOURCE), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.splitlines()[-1] == "done"
