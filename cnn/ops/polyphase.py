"""Downsampling by selecting, weighting or stacking polyphase components."""

import itertools

import jax
import jax.numpy as jnp
from jax import Array

from cnn.config.errors import UserError, did_you_mean
from cnn.ops.padding import Padding, Size, Window, make_window
from cnn.ops.precision import widened
from cnn.ops.windows import elements, output_shape

_NORMS = {
    "l1": lambda x, axes: jnp.sum(jnp.abs(x), axes),
    # Without the square root, which does not change the order.
    "l2": lambda x, axes: jnp.sum(x * x, axes),
    "linf": lambda x, axes: jnp.max(jnp.abs(x), axes),
}
NORMS = tuple(_NORMS)


def split_phases(x: Array, strides: Size, padding: Padding) -> Array:
    """Splits `[B, *spatial, C]` into polyphase components `[P, B, *spatial / strides, C]`.

    Component p holds x[i * strides + o], where o is the p-th of the P = prod(strides) offsets in
    row-major order. (The APS and LPS code orders them column-major.)

    Args:
      x: the input.
      strides: between the elements of a component.
      padding: see `make_window`, with windows of the size of the strides. For sizes that the
        strides do not divide, VALID drops the remainder, SAME pads zeros and REFLECT reflects.

    Raises:
      UserError: circular padding with strides that do not divide the input, since sampling is then
        not equivariant to circular shifts.
    """
    return jnp.stack(_cut(x, strides, padding))


def _cut(x: Array, strides: Size, padding: Padding) -> list[Array]:
    return elements(x, _window(x, strides, padding))


def _window(x: Array, strides: Size, padding: Padding) -> Window:
    window = make_window(x, strides, strides, padding)
    if padding == "CIRCULAR" and any(map(any, window.pads)):
        raise UserError(
            f"polyphase: strides {window.strides} do not divide the input {x.shape[1:-1]}, so the "
            "output is not equivariant to circular shifts; use image sizes that are divisible at "
            "every stage, or another padding"
        )
    return window


def space_to_depth(x: Array, strides: Size, padding: Padding) -> Array:
    """Stacks the polyphase components along the channels: `[B, *spatial / strides, P * C]`.

    The lossless, parameter-free first half of SPD-Conv (Sunkara & Luo, ECML-PKDD 2022), patch
    merging (Liu et al., Swin, ICCV 2021) and pixel-unshuffle stems (Ridnik et al., TResNet, WACV
    2021). At stride 2, a k x k convolution after it equals one 2k x 2k convolution with stride 2.

    Components are stacked in the order of `split_phases`, as in TensorFlow. Swin and SPD-Conv order
    them column-major, and in PyTorch's pixel_unshuffle the component varies fastest, so kernels
    from there need their input channels permuted. SPD-Conv's published block keeps the preceding
    3x3 convolution at full resolution, which is where its additional compute comes from.
    """
    window, ndim = _window(x, strides, padding), x.ndim - 2
    padded = window.padded(x)
    out = output_shape(padded.shape[1:-1], window)
    cells = list(zip(out, window.strides, strict=True))
    whole = padded[(slice(None), *(slice(n * s) for n, s in cells))]
    split = whole.reshape(x.shape[0], *itertools.chain(*cells), x.shape[-1])
    order = (0, *range(1, 2 * ndim, 2), *range(2, 2 * ndim + 1, 2), 2 * ndim + 1)
    return split.transpose(order).reshape(x.shape[0], *out, -1)


def select_phase(
    x: Array, strides: Size, padding: Padding, *, norm: str = "l2"
) -> tuple[Array, Array]:
    """Adaptive polyphase sampling: keeps the component of largest norm, per example.

    y = phase_i, i = argmax_p |phase_p|, with norms over all positions and channels (Chaman &
    Dokmanic, CVPR 2021; l2 by default). With circular padding throughout and global average pooling
    at the end, a network is exactly invariant to circular shifts of its input. A shortcut must take
    the same component (`take_phase`), or it is added out of alignment with the main path.

    APS with a k-tap blur selects before blurring: `_, i = select_phase(x, ...)`, then
    `take_phase(blur(x, k, 1, ...), i, ...)`.

    Norms are computed in at least float32, since rounding could otherwise decide between nearly
    equal ones. Exact ties go to the first component, which depends on the shift, so they break
    equivariance. The gradient flows through the selected component, not through the selection. The
    authors' code pads odd sizes circularly and is not equivariant there; here that is an error.

    Args:
      x: the input `[B, *spatial, C]`.
      strides: see `split_phases`.
      padding: likewise.
      norm: l1, l2 or linf.

    Returns:
      y `[B, *spatial / strides, C]`, and the index `[B]`.

    Raises:
      UserError: the norm is unknown, or as in `split_phases`.
    """
    if norm not in _NORMS:
        raise UserError(f"aps: unknown norm '{norm}': {did_you_mean(norm, NORMS)}")
    phases = _cut(x, strides, padding)
    axes = tuple(range(1, x.ndim))
    index = jnp.argmax(jnp.stack([_NORMS[norm](widened(p), axes) for p in phases]), axis=0)
    return _pick(phases, index), index


def take_phase(x: Array, phase: Array, strides: Size, padding: Padding) -> Array:
    """Takes the component selected on another path, `[B, *spatial / strides, C]`.

    Args:
      x: the input `[B, *spatial, C]`.
      phase: the index `[B]` from `select_phase`, or weights `[B, P]` from `phase_weights`.
      strides: see `split_phases`.
      padding: likewise.

    Raises:
      UserError: the number of weights is not prod(strides), or as in `split_phases`.
    """
    phases = _cut(x, strides, padding)
    if phase.ndim == 1:
        return _pick(phases, phase)
    if phase.shape[-1] != len(phases):
        raise UserError(
            f"polyphase: {phase.shape[-1]} weights do not fit the {len(phases)} components of "
            f"strides {strides}; use the same strides on both paths"
        )
    weights = widened(phase).reshape(*phase.shape, *(1,) * (x.ndim - 1))
    terms = (weights[:, i] * widened(component) for i, component in enumerate(phases))
    return sum(terms).astype(x.dtype)


def _pick(phases: list[Array], index: Array) -> Array:
    # Selection and its gradient compile to one pass each; the gradient of a gather is a scatter.
    index = index.reshape(index.shape + (1,) * (phases[0].ndim - 1))
    y = phases[0]
    for p, component in enumerate(phases[1:], 1):
        y = jnp.where(index == p, component, y)
    return y


def phase_weights(logits: Array, key: Array | None, temperature: float = 1.0) -> Array:
    """Component weights of learnable polyphase sampling, float32 `[B, P]`.

    Training uses the Gumbel-softmax, softmax((logits + g) / temperature) with g = -log(-log(u)) and
    u uniform; evaluation (no key) is one-hot at the largest logit, the first on ties (Rojas-Gomez
    et al., NeurIPS 2022). The output is `take_phase(x, weights, ...)`. For equivariance, the same
    network must compute the logit of every component. The authors' has two circular 3x3
    convolutions with a ReLU in between, then the mean over all positions and channels.

    Training mixes components while evaluation selects one, so the temperature has to be annealed
    until the two agree. The authors' code supports stride 2 only and pads odd sizes with zeros.

    Args:
      logits: `[B, P]`.
      key: for the Gumbel noise; None in evaluation.
      temperature: positive; a number, or an array if it depends on the step.

    Raises:
      UserError: the temperature is not positive.
    """
    if isinstance(temperature, float | int) and temperature <= 0:
        raise UserError(f"lps: temperature={temperature} is not positive; use e.g. 1.0")
    logits = widened(logits)
    if key is None:
        return jax.nn.one_hot(jnp.argmax(logits, axis=-1), logits.shape[-1], dtype=logits.dtype)
    noise = jax.random.gumbel(key, logits.shape, logits.dtype)
    return jax.nn.softmax((logits + noise) / temperature, axis=-1)
