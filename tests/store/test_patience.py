"""A bucket that does not answer is waited for, with a word and not for ever; what stays wrong is said at once."""

import time
from collections.abc import Callable

import pytest

from prepe.errors import PrepeError
from prepe.launch import job
from prepe.store.patience import VARIABLE, Unanswered, impatient, meanwhile, passes, patiently, together

AWAY = "When reading key 'x': AWS Error NETWORK_CONNECTION during HeadObject operation: curlCode: 7, Could not connect"


def answering(after_s: float = 0.0) -> Callable[[], str]:
    """Return what fails as a bucket that is away until some time has passed."""
    until = time.monotonic() + after_s

    def act() -> str:
        if time.monotonic() < until:
            raise OSError(AWAY)
        return "answer"

    return act


@pytest.mark.parametrize(
    ("said", "may_pass"),
    [
        (AWAY, True),
        ("When uploading: AWS Error SLOW_DOWN during PutObject operation: reduce your request rate", True),
        ("When uploading: AWS Error UNKNOWN (HTTP status 503) during PutObject operation: No response body", True),
        ("When uploading: AWS Error INTERNAL_FAILURE during PutObject operation: an internal error", True),
        ("google::cloud::Status(UNAVAILABLE: Retry policy exhausted in GetObjectMetadata)", True),
        ("When uploading: AWS Error ACCESS_DENIED during PutObject operation: No response body", False),
        ("When uploading: AWS Error NO_SUCH_BUCKET during PutObject operation: it does not exist", False),
        ("When uploading: AWS Error UNKNOWN (HTTP status 400) during PutObject operation: ExpiredToken", False),
        ("AWS Error NETWORK_CONNECTION during HeadObject operation: curlCode: 60, SSL peer certificate", False),
        ("google::cloud::Status(PERMISSION_DENIED: no access to INTERNAL/UNAVAILABLE)", False),
        ("[Errno 28] No space left on device", False),
    ],
)
def test_what_may_pass_is_told_from_what_stays(said: str, may_pass: bool) -> None:
    assert passes(OSError(said)) == may_pass
    assert not passes(PrepeError(said))  # that has been waited for already


def test_a_bucket_is_waited_for_with_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert patiently("s3://bucket/x", "read", answering(after_s=0.3)) == "answer"
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("prepe: s3://bucket/x: no answer (AWS Error NETWORK_CONNECTION during HeadObject operation")
    assert line.endswith("; trying again, for up to 180 s each time")


def test_waiting_ends_with_patience_and_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "0.2")
    with pytest.raises(
        Unanswered,
        match=r"^s3://bucket/x: cannot be read: AWS .* what is stored stays: when .* run the same command again",
    ):
        patiently("s3://bucket/x", "read", answering(after_s=60))
    for wrong in ("soon", "-1", "nan", "inf"):
        monkeypatch.setenv(VARIABLE, wrong)
        with pytest.raises(PrepeError, match=f"{VARIABLE}: '{wrong}'; allowed: seconds, 0 or more"):
            patiently("s3://bucket/x", "read", answering(after_s=60))


def test_what_looks_on_meanwhile_can_end_the_waiting_and_the_impatient_do_not_wait() -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with meanwhile(stop), pytest.raises(KeyboardInterrupt):
        patiently("s3://bucket/x", "read", answering(after_s=60))
    with meanwhile(stop), impatient(), pytest.raises(Unanswered):
        patiently("s3://bucket/x", "read", answering(after_s=60))


def test_of_several_at_once_those_without_an_answer_are_done_again_alone() -> None:
    away = {number: answering(after_s=0.2 if number % 3 == 0 else 0) for number in range(9)}
    got = together(lambda number: (number, patiently("s3://bucket/x", "read", away[number])), list(away), 4)
    assert got == [(number, "answer") for number in range(9)]


def test_a_trial_that_waits_for_its_store_has_its_time_anew() -> None:
    with job._timed(0.3, None, None) as watched:
        assert watched is not None
        assert patiently("s3://bucket/x", "written", answering(after_s=0.5)) == "answer"
        watched("training", 1, 2)
        time.sleep(0.35)
        with pytest.raises(TimeoutError):
            watched("training", 2, 2)
