"""Signatures of a SavedModel, checked against AIR's before it is loaded.

Loading a SavedModel runs the graph in it. What is not one of AIR's, or cannot
be read, is refused from its description alone.

Letters: `T` most steps, `Z` size of `what`, `[H, W]` image, `[h, w]` glimpse.
"""

import os
import pathlib

import tensorflow as tf
from tensorflow.core.protobuf import fingerprint_pb2
from tensorflow.core.protobuf import saved_model_pb2

from air_tf import errors
from air_tf import paths

__all__ = ['DETECTED', 'check', 'is_of_others', 'read']

_FLOAT, _INT = tf.float32.as_datatype_enum, tf.int32.as_datatype_enum
_PB, _FINGERPRINT = 'saved_model.pb', 'fingerprint.pb'
_FILES = (_PB, 'variables/variables.index',
          'variables/variables.data-00000-of-00001')
_EXPECTED = ('expected the `saved_model` folder of a run, written by '
             'bin/train.py or bin/export.py')
_MAX_BYTES = 1 << 30  # Of the description; a protocol buffer has 2 GiB at most.
# Axes by letter; a number is that size; P is T + 1; C: no axis, or 3 channels.
_INPUTS = {'serving_default': {'images': (_FLOAT, 'NHWC')},
           'detect': {'images': (_FLOAT, 'NHWC')},
           'score': {'images': (_FLOAT, 'NHWC'), 'seed': (_INT, '2')}}
_OUTPUTS = {
    'serving_default': {
        'num_steps': (_INT, 'N'), 'num_steps_probs': (_FLOAT, 'NP'),
        'presence': (_FLOAT, 'NT'), 'where': (_FLOAT, 'NT3'),
        'boxes': (_FLOAT, 'NT4'), 'what': (_FLOAT, 'NTZ'),
        'glimpses': (_FLOAT, 'NThwC'), 'canvases': (_FLOAT, 'NTHWC'),
        'reconstruction': (_FLOAT, 'NHWC')},
    'detect': {
        'num_steps': (_INT, 'N'), 'num_steps_probs': (_FLOAT, 'NP'),
        'step_probs': (_FLOAT, 'NT'), 'boxes': (_FLOAT, 'NT4')},
    'score': {name: (_FLOAT, 'N') for name in (
        'elbo', 'log_likelihood', 'kl_what', 'kl_where', 'kl_num_steps',
        'log_weight')}}

# Of an explanation: how many objects there are, and where. The signature
# `detect` was without tight boxes at first.
DETECTED = (*_OUTPUTS['detect'], 'tight_boxes')


def read(path: str | os.PathLike) -> dict:
  """Returns the signature definitions of a SavedModel folder, by name.

  Raises:
    errors.UserError: if there is none, or a part of it is missing or cannot be
      read.
  """
  folder = pathlib.Path(path)
  if not os.path.isdir(folder):
    found = 'a file' if os.path.exists(folder) else 'no such folder'
    raise _error(folder, f'found {found}')
  for name in _FILES:
    file = folder / name
    if not os.path.isfile(file):
      found = 'is no regular file' if os.path.lexists(file) else 'is missing'
      raise _error(folder, f'{name} {found}')
  if os.path.getsize(folder / _PB) > _MAX_BYTES:
    raise _error(folder, f'{_PB} is too large')
  try:
    message = saved_model_pb2.SavedModel.FromString(
        (folder / _PB).read_bytes())
  except Exception as error:  # Bytes of any kind; protobuf has several errors.
    reason = getattr(error, 'strerror', None) or errors.one_line(error)
    raise _error(folder, f'{_PB} is damaged or cannot be read: {reason}'
                 ) from error
  try:
    if os.path.lexists(folder / _FINGERPRINT):
      fingerprint_pb2.FingerprintDef.FromString(
          paths.read_regular(folder / _FINGERPRINT, 2**20))
  except Exception as error:
    raise _error(folder, f'{_FINGERPRINT} is damaged or cannot be read'
                 ) from error
  if not message.meta_graphs:
    raise _error(folder, f'{_PB} holds no graph')
  return dict(message.meta_graphs[0].signature_def)


def is_of_others(path: str | os.PathLike) -> bool:
  """Whether a folder holds a whole SavedModel that is not AIR's."""
  try:
    definitions = read(path)
  except errors.UserError:  # None, or a damaged one, which may be AIR's.
    return False
  found = definitions.get('serving_default')
  return found is None or not {'num_steps', 'presence'} <= set(found.outputs)


def check(path: str | os.PathLike, definitions: dict, name: str) -> None:
  """Checks a signature: its inputs and outputs, their types and shapes.

  Outputs beyond AIR's are no error.

  Args:
    path: of the folder, for texts.
    definitions: as `read` returns them.
    name: 'serving_default', 'detect' or 'score'.

  Raises:
    errors.UserError: if it is not AIR's; the text says what is missing.
  """
  if name not in definitions:
    known = sorted(x for x in definitions if not x.startswith('__'))
    raise _error(path, f'no signature `{name}`, only '
                 + (', '.join(known) or 'none'))
  definition, sizes = definitions[name], {}
  extra = sorted(set(definition.inputs) - set(_INPUTS[name]))
  for way, found, expected in (
      ('input', definition.inputs, _INPUTS[name]),
      ('output', definition.outputs, _OUTPUTS[name])):
    for key, (kind, axes) in expected.items():
      label = f'signature `{name}`: {way} `{key}`'
      if key not in found:
        others = ', '.join(extra if way == 'input' else sorted(found))
        raise _error(path, f'{label} is missing, among {others or "none"}')
      _check_tensor(path, label, found[key], kind, axes, sizes)
  if sizes.get('P') and sizes['P'] != sizes['T'] + 1:
    raise _error(path, f"signature `{name}`: {sizes['P']} probabilities for "
                 f"the counts of {sizes['T']} steps")
  if extra:
    raise _error(path, f'signature `{name}`: unknown input `{extra[0]}`')


def _check_tensor(path, label: str, info, kind: int, axes: str,
                  sizes: dict) -> None:
  """Checks type and shape.

  Args:
    path: of the folder, for texts.
    label: of the tensor, for texts.
    info: what the signature says of it.
    kind: its type.
    axes: its shape, in letters.
    sizes: by letter, those seen so far, which others of the letter must equal;
      it is added to.
  """
  shape = [axis.size for axis in info.tensor_shape.dim]
  letters = axes.removesuffix('C')
  fits = (info.dtype == kind and not info.tensor_shape.unknown_rank
          and len(shape) >= len(letters))
  for letter, size in zip(letters, shape, strict=False):
    known = sizes.setdefault(letter, size)
    if letter == 'N':
      fits &= size == -1
    else:
      fits &= size > 0 and size == (int(letter) if letter.isdigit() else known)
  colours = shape[len(letters):]
  fits &= colours == (sizes.setdefault('C', colours) if axes.endswith('C')
                      else [])
  if not fits or colours not in ([], [3]):
    rank = ('of unknown rank' if info.tensor_shape.unknown_rank else shape)
    raise _error(path, f'{label} is {_type_name(info.dtype)} {rank}, not '
                 f'{_type_name(kind)} [{", ".join(axes)}] as in AIR')


def _type_name(number: int) -> str:
  try:
    return tf.dtypes.as_dtype(number).name
  except TypeError:
    return f'type {number}'


def _error(path, found: str) -> errors.UserError:
  return errors.UserError(
      f'{os.fspath(path)}: not a SavedModel of AIR ({found}); {_EXPECTED}.')
