"""Large blocks go back to the system; other systems are left alone."""

import ctypes
import subprocess
import sys

import pytest

from ulmfit_lib.training.memory import LARGE_BLOCK, give_large_blocks_back

# How many blocks of this process come straight from the system, before and after a second request
# for a block of a size that was freed once.
COUNT = f"""
import ctypes
from ulmfit_lib.training import memory

class Mallinfo(ctypes.Structure):
    _names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in _names.split()]

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.mallinfo2.restype = Mallinfo
if SET:
    assert memory.give_large_blocks_back()
libc.free(ctypes.c_void_p(libc.malloc(ctypes.c_size_t({2 * LARGE_BLOCK}))))
before = libc.mallinfo2().hblks
block = libc.malloc(ctypes.c_size_t({2 * LARGE_BLOCK}))
print(libc.mallinfo2().hblks - before)
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="needs glibc"
)
@pytest.mark.parametrize(("set_it", "blocks"), [(True, 1), (False, 0)])
def test_a_large_block_comes_from_the_system_every_time(set_it, blocks):
    program = COUNT.replace("SET", str(set_it))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == str(blocks), done.stderr


def test_other_systems_are_left_as_they_are(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not give_large_blocks_back()
