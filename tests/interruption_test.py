import os
import signal

import pytest

from lvmmed_jax.train import interruption


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (15, 143)])
def test_the_first_signal_is_a_flag(signum, code):
    with interruption.watch() as stop:
        assert not stop() and stop.exit_code == 0
        os.kill(os.getpid(), signum)
        assert stop() and stop.exit_code == code


def test_the_second_ctrl_c_acts_as_usual():
    # a process that was started in the background ignores Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt), interruption.watch() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop()
        os.kill(os.getpid(), signal.SIGINT)


def test_handlers_are_put_back():
    before = [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)]
    with interruption.watch():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    after = [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)]
    assert after == before
