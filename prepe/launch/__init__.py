"""The only package that imports Ray and Optuna: sweeps and a store in, all their trials in the store out."""

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from prepe import custom
from prepe.catalog import unknown
from prepe.errors import PrepeError
from prepe.launch.halving import saving
from prepe.launch.interrupt import noted
from prepe.launch.job import Row, unrecorded
from prepe.launch.lock import sole_driver
from prepe.launch.progress import Progress
from prepe.launch.searcher import Queue, to_do
from prepe.store import Root
from prepe.sweep import Params, Sweep
from prepe.train import choose_device


class Session:
    """Sweeps one after another, in one Ray that is up from the first that needs it until this context ends.

    Args:
        executor: `ray` or `serial`.
        address: of a Ray cluster to join; None starts one here.
        device: for the trials.
        allow_imports: let sweeps call functions of their user, from modules that Python finds, that lie in the working
            folder, or beside the sweep's file; on a cluster these folders have to be there for all nodes.

    Raises:
        PrepeError: there is no such executor, or the device is not to be had.
    """

    def __init__(
        self, executor: str = "ray", address: str | None = None, device: str = "auto", allow_imports: bool = False
    ) -> None:
        if executor not in ("ray", "serial"):
            raise PrepeError(f"executor: {unknown(executor, ['ray', 'serial'], 'executor')}")
        if address is None or not device.startswith("cuda"):  # a cluster may have the GPU that is not here
            choose_device(device)
        self.executor, self.address, self.device, self.allow_imports = executor, address, device, allow_imports
        self._stack = ExitStack()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *raised: object) -> None:
        self._stack.close()

    def run(
        self,
        sweep: Sweep,
        results: Root,
        *,
        folder: Path | None = None,
        retry_failed: bool = False,
        deterministic: bool = False,
        chosen: Iterable[Params] = (),
    ) -> Queue:
        """Do what a sweep asks for and the store does not have yet.

        Args:
            sweep: as from `sweep.load`.
            results: the store's folder.
            folder: of the sweep's file.
            retry_failed: do failed trials again.
            deterministic: propose the same trials, however many jobs are at work at once; see `Queue`.
            chosen: configurations to be proposed first, each with a value for every parameter of the space.

        Returns:
            The queue, with the rows of all ended proposals in `done`.

        Raises:
            PrepeError: the store or the cluster is not to be had, the sweep is being run into it already, it calls
                functions of its user, and may not, or a chosen configuration is no point of its space.
            KeyboardInterrupt: Ctrl-C; what had ended is stored.
        """
        calls = sweep.imports()
        custom.check_allowed(calls, self.allow_imports, f"sweep {sweep.name}")
        folders = [each.resolve() for each in (Path(), folder) if each is not None] if calls else []
        with sole_driver(results, sweep.name):
            queue = Queue(sweep, results, retry_failed, deterministic, chosen)
            if queue.left and not queue.spent:
                self._work_off(queue, folders)
        return queue

    def _work_off(self, queue: Queue, folders: list[Path]) -> None:
        """Do all proposals of a queue, and show how far that is."""
        progress = Progress(queue.sweep, queue.total, queue.done)
        queue.say = progress.say
        try:
            with progress.shown():
                if self.executor == "serial":
                    from prepe.launch import serial

                    serial.run(queue, progress, device=self.device, folders=folders)
                else:
                    from prepe.launch import tune

                    tune.run(
                        queue,
                        progress,
                        device=self.device,
                        folders=folders,
                        address=self.address,
                        session=self._stack,
                    )
        finally:
            with noted():
                queue.close()


def run(
    sweep: Sweep,
    results: Root,
    *,
    folder: Path | None = None,
    retry_failed: bool = False,
    deterministic: bool = False,
    chosen: Iterable[Params] = (),
    **options: Any,
) -> Queue:
    """Do what one sweep asks for and the store does not have yet.

    The options are those of `Session`, in which several share one Ray; all else is as in its `run`.
    """
    with Session(**options) as session:
        return session.run(
            sweep, results, folder=folder, retry_failed=retry_failed, deterministic=deterministic, chosen=chosen
        )


__all__ = ["Queue", "Row", "Session", "run", "saving", "to_do", "unrecorded"]
