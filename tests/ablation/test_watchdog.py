"""The watchdog ends what makes no step, and nothing else."""

import threading
import time

from cnn.ablation.execution.watchdog import HUNG, Watchdog


def test_silence_ends_the_process_after_a_word(capsys):
    ended, told, codes = threading.Event(), [], []

    def end(code):
        codes.append(code)
        ended.set()

    with Watchdog(0.05, told.append, end):
        assert ended.wait(20)
    assert codes == [HUNG]
    assert len(told) == 1
    assert "made no step" in told[0]
    assert told[0] in capsys.readouterr().err


def test_steps_keep_a_process_alive():
    told = []
    with Watchdog(1.0, told.append, told.append) as dog:
        for _ in range(30):
            time.sleep(0.05)
            dog.alive()
    time.sleep(1.2)
    assert told == []
