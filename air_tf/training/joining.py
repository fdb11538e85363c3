"""Joins the other processes so that a signal, or the loss of one, ends it.

TensorFlow joins in a native call that keeps Python's interpreter lock, and
waits for ever if a process is lost just then. Here the same function of its C
interface is called without the lock, in a thread.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import ctypes
import pathlib
import signal
import threading
from typing import Any

import tensorflow as tf
from tensorflow.python import pywrap_tfe

__all__ = ['watched']

_NAME = 'TFE_EnableCollectiveOps'


@contextlib.contextmanager
def watched(check: Callable[[float], None]) -> Iterator[None]:
  """Returns a context in which a strategy of several processes is made.

  Args:
    check: called again and again while TensorFlow joins them: waits for so many
      seconds at most, and raises to end the joining. The process then cannot
      use TensorFlow any more.
  """
  native = _native()
  original = getattr(pywrap_tfe, _NAME)
  if native is not None:
    setattr(pywrap_tfe, _NAME,
            lambda context, server: _join(native, context, server, check))
  try:
    yield
  finally:
    setattr(pywrap_tfe, _NAME, original)


def _native() -> ctypes.CDLL | None:
  """TensorFlow's library, which is loaded already; None if it is another."""
  for path in pathlib.Path(tf.sysconfig.get_lib()).glob('libtensorflow_cc.*'):
    with contextlib.suppress(OSError, AttributeError):
      native = ctypes.CDLL(str(path))
      getattr(native, _NAME).argtypes = [
          ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p]
      getattr(native, _NAME).restype = None
      native.TF_NewStatus.restype = ctypes.c_void_p
      native.TF_GetCode.argtypes = [ctypes.c_void_p]
      native.TF_Message.argtypes = [ctypes.c_void_p]
      native.TF_Message.restype = ctypes.c_char_p
      return native
  return None


def _join(native: ctypes.CDLL, context: Any, server: bytes,
          check: Callable[[float], None]) -> None:
  ctypes.pythonapi.Py_IncRef(ctypes.py_object(context))  # Never freed: the
  pointer = ctypes.pythonapi.PyCapsule_GetPointer  # thread may outlive us.
  pointer.restype = ctypes.c_void_p
  handle = pointer(ctypes.py_object(context), None)
  status = native.TF_NewStatus()
  thread = threading.Thread(
      target=getattr(native, _NAME), daemon=True,
      args=[handle, server, len(server), status])
  thread.start()
  while thread.is_alive():
    with contextlib.suppress(ValueError):  # Not in the main thread.
      # TensorFlow has put its own in its place.
      signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
    check(.1)
  code = native.TF_GetCode(status)
  if code:
    raise tf.errors.exception_type_from_error_code(code)(
        None, None, native.TF_Message(status).decode(errors='replace'))
