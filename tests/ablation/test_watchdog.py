"""The watchdog ends what makes no step, and nothing else."""

import threading
import time

from cnn.ablation.execution.watchdog import HUNG, Watchdog


def test_silence_ends_the_process_after_a_word(capsys):
    ended, messages, codes = threading.Event(), [], []

    def end(code):
        codes.append(code)
        ended.set()

    with Watchdog(0.05, messages.append, end):
        assert ended.wait(20)
    assert codes == [HUNG]
    assert len(messages) == 1
    assert "made no step" in messages[0]
    assert messages[0] in capsys.readouterr().err


def test_steps_keep_a_process_alive():
    messages = []
    with Watchdog(1.0, messages.append, messages.append) as dog:
        for _ in range(30):
            time.sleep(0.05)
            dog.alive()
    time.sleep(1.2)
    assert messages == []
