"""Starts a command's work in one or several processes, and passes signals and errors between them."""

from __future__ import annotations

import argparse
import contextlib
import gc
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator

import torch
import torch.distributed as dist
from detectron2.engine import DEFAULT_TIMEOUT, launch
from detectron2.utils import comm
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

from imrsf_d2.engine.configuration import load_config
from imrsf_d2.engine.interruption import say_at_once, watch_signals
from imrsf_d2.engine.machines import all_machines, check_machines
from imrsf_d2.engine.process_errors import noting_errors, raise_what_stopped
from imrsf_d2.engine.torchrun import Place, processes_here, read_place
from imrsf_d2.utils.console import hide_console, quiet_console
from imrsf_d2.utils.errors import InputError, Interrupted
from imrsf_d2.utils.parallel import usable_cores

__all__ = ["launch_run"]

Work = Callable[[argparse.Namespace], object]


def launch_run(args: argparse.Namespace, work: Work) -> None:
    """Start `work` in one process per GPU; in this process if there is only one, or if torchrun has started the others.

    Args:
        args: of Detectron2's `default_argument_parser`; with MODEL.DEVICE cpu, `num_gpus` is the number of processes
            that share the machine's cores; None is one, or as many as torchrun started.
        work: a function of a module's top level, which gets `args`.

    Raises:
        UserError: the error of a process; see also `load_config` and `all_machines`.
        Interrupted: after Ctrl-C, and after SIGTERM if there are several processes or `work` handles it.
    """
    cfg = load_config(args.config_file, args.opts)  # reports a mistake in the config once, before processes start
    place, processes = read_place(), processes_here(args.num_gpus, args.num_machines)
    if place is None:
        check_machines(args)
    on_cpu = torch.device(cfg.MODEL.DEVICE).type == "cpu"
    most = usable_cores() if on_cpu else torch.cuda.device_count()
    if place is not None and place.world_size > 1:
        if not on_cpu and processes > most:
            raise InputError(
                f"torchrun started {processes} processes on this machine (LOCAL_WORLD_SIZE), which has "
                f"{most} GPUs: give --nproc_per_node {max(most, 1)}, or append MODEL.DEVICE cpu."
            )
        _work_among_others(work, args, place, on_cpu)
        return
    if processes > max(1, most):
        what = "processors for MODEL.DEVICE cpu" if on_cpu else "GPUs"
        raise InputError(f"--num-gpus is {processes}, this machine has {most} {what}.")
    if processes * args.num_machines == 1:
        work(args)
        return
    # Detectron2 joins the processes by NCCL, which knows no CPU tensors, wherever it sees a GPU.
    share = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": str(most // processes)} if on_cpu else {}
    meeting = all_machines(args, processes) if args.num_machines > 1 else contextlib.nullcontext(args.dist_url)
    with meeting as url, _environment(share):
        _start_processes(work, args, processes, url)


def _work_among_others(work: Work, args: argparse.Namespace, place: Place, on_cpu: bool) -> None:
    """Join the processes that torchrun started, as Detectron2's `launch` joins its own, and do the work."""
    if not on_cpu:
        torch.cuda.set_device(place.local_rank)
    dist.init_process_group("gloo" if on_cpu else "nccl", init_method="env://", timeout=DEFAULT_TIMEOUT)
    comm.create_local_process_group(place.local_world_size)
    comm.synchronize()
    try:
        _work_in_order(work, args)
    except Interrupted:
        if place.rank:
            sys.exit(0)  # see `_work_in_process`
        raise


def _work_in_order(work: Work, args: argparse.Namespace) -> None:
    """Do the work of one of several processes, and leave the process group properly."""
    in_order = False
    if not comm.is_main_process():
        hide_console()
    try:
        with quiet_console():
            work(args)
        comm.synchronize()
        in_order = True
    except Interrupted:
        in_order = True
        raise
    finally:
        # Detectron2 leaves the group to the end of the interpreter, where its threads, still running, abort the process.
        # After an error NCCL would wait for what the others no longer do.
        if in_order or dist.get_backend() == "gloo":
            gc.collect()  # a model that waits to be collected holds the group, with its threads
            dist.destroy_process_group()


def _start_processes(work: Work, args: argparse.Namespace, processes: int, url: str) -> None:
    """Start the processes, forward signals to them, and raise the error that stopped them."""
    received = None

    def hand_on(number: int) -> None:
        nonlocal received
        received = number
        say_at_once(f"{signal.Signals(number).name}: passed on to the processes; Ctrl-C again kills them.")
        # SIGTERM, also of Ctrl-C, which processes in the terminal's foreground get anyway: as a second SIGINT to them,
        # it would end them at once.
        for process in multiprocessing.active_children():
            process.terminate()

    def kill() -> None:
        for process in multiprocessing.active_children():
            process.kill()

    failure = None
    with tempfile.TemporaryDirectory(prefix="imrsf_d2-") as folder:
        try:
            with watch_signals(hand_on, kill):
                launch(
                    _work_in_process,
                    processes,
                    num_machines=args.num_machines,
                    machine_rank=args.machine_rank,
                    dist_url=url,
                    args=(work, args, folder),
                )
        except (ProcessExitedException, ProcessRaisedException) as error:
            failure = error
        raise_what_stopped(folder, failure, received)


def _work_in_process(work: Work, args: argparse.Namespace, folder: str) -> None:
    """What each started process does."""
    first = comm.is_main_process()
    try:
        _work_in_order(lambda args: noting_errors(lambda: work(args), folder), args)
    except Interrupted:
        if first:  # it writes the checkpoint, and is killed soon after another one has failed
            raise


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Set environment variables for the processes started meanwhile."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
