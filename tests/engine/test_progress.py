import logging

from detectron2.utils.events import EventStorage

from imrsf_d2.engine.progress import ProgressWriter


def test_a_line_tells_loss_speed_and_remaining_time(caplog):
    with EventStorage(9) as storage, caplog.at_level(logging.INFO):
        storage.put_scalars(total_loss=3.0, loss_ce=1.0, loss_mask=2.0, loss_ce_0=9.0, lr=1e-4, time=0.5, data_time=0.25)
        ProgressWriter(max_iter=130).write()
    (line,) = caplog.messages
    line, _, memory = line.removesuffix(" GiB").rpartition("  memory ")
    assert line == (
        "iteration  10/130  loss 3.00  (ce 1.000  mask 2.000)  lr 0.0001  0.50 s/it (waiting for data 0.25)  ETA 0:01:00"
    )
    assert 0.05 < float(memory) < 1000


def test_nothing_is_said_before_the_first_or_after_the_last_iteration(caplog):
    with EventStorage(130) as storage, caplog.at_level(logging.INFO):
        ProgressWriter(max_iter=130).write()
        storage.put_scalar("total_loss", 1.0)
        ProgressWriter(max_iter=130).write()
    assert not caplog.messages
