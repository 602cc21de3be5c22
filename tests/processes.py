"""Several processes that exchange gradients and results, on the CPU."""

import gc
from datetime import timedelta

import torch
from detectron2.engine import launch


def run_in_processes(function, *arguments, processes=2, seconds=120):
    """Call a function of a test module in each of several processes; one that waits in vain for another one raises.

    Args:
        function: of the module's top level, given as it is to each process.
        seconds: how long a process waits for the others before it gives up.
    """
    launch(_single_threaded, processes, dist_url="auto", args=(function, arguments), timeout=timedelta(seconds=seconds))


def _single_threaded(function, arguments):
    torch.set_num_threads(1)  # two processes with a thread per core each would wait for one another
    function(*arguments)
    gc.collect()  # see imrsf_d2.engine.launching
    torch.distributed.destroy_process_group()
