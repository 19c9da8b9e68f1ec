"""Downsampling by picking, weighting or stacking the polyphase components of an image."""

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
    # The square root keeps the order and is left out.
    "l2": lambda x, axes: jnp.sum(x * x, axes),
    "linf": lambda x, axes: jnp.max(jnp.abs(x), axes),
}
NORMS = tuple(_NORMS)


def split_phases(x: Array, strides: Size, padding: Padding) -> Array:
    """Cuts `[B, *spatial, C]` into its polyphase components `[P, B, *spatial / strides, C]`.

    Component p holds x[i * strides + o] for the p-th offset o below strides in row-major order, of
    P = prod(strides). (The authors of APS and LPS count them column-major.)

    Args:
      x: the input.
      strides: between the elements of a component.
      padding: see `make_window`, of windows as large as strides: VALID drops the rest of sizes that
        are not a multiple, SAME fills them up with zeros, REFLECT mirrors.

    Raises:
      UserError: circular padding of such sizes: a circle of n elements has no component that
        shifts with it unless strides divide n.
    """
    return jnp.stack(_cut(x, strides, padding))


def _cut(x: Array, strides: Size, padding: Padding) -> list[Array]:
    return elements(x, _window(x, strides, padding))


def _window(x: Array, strides: Size, padding: Padding) -> Window:
    window = make_window(x, strides, strides, padding)
    if padding == "CIRCULAR" and any(map(any, window.pads)):
        raise UserError(
            f"polyphase: strides {window.strides} do not divide the input {x.shape[1:-1]}, so "
            "circular shifts change the output; use image sizes that are divisible at every stage, "
            "or another padding"
        )
    return window


def space_to_depth(x: Array, strides: Size, padding: Padding) -> Array:
    """Stacks the polyphase components along the channels: `[B, *spatial / strides, P * C]`.

    The first half of SPD-Conv (Sunkara & Luo, ECML-PKDD 2022), of patch merging (Liu et al., Swin,
    ICCV 2021) and of pixel-unshuffle stems (Ridnik et al., TResNet, WACV 2021). Nothing is lost,
    nothing learned: followed by a k x k convolution, it is one 2k x 2k convolution of stride 2.

    The channels are in the order of `split_phases`, as in TensorFlow. Swin and SPD-Conv order the
    components column-major, PyTorch's pixel_unshuffle lets the component vary fastest: kernels from
    there need their input channels permuted. SPD-Conv's published block keeps the 3x3 convolution
    in front at full resolution, which is where its gain in compute is.
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
    """Adaptive polyphase sampling: keeps the component of the largest norm, per example.

    y = phase_i, i = argmax_p |phase_p|, over all positions and channels (Chaman & Dokmanic, CVPR
    2021; l2 by default). With circular padding throughout and a global average at
    the end, a network's output does not change at all when its input is shifted on a circle. On the
    way the output shifts by what the index hides, so a shortcut must take the same component
    (`take_phase`) or it is added in another place.

    APS with k taps chooses before it blurs: `_, i = select_phase(x, ...)`, then
    `take_phase(blur(x, k, 1, ...), i, ...)`.

    Norms are float32 whatever the input, else rounding decides between near equals. Of exact equals
    the first is kept, and that one depends on the shift. The gradient flows through the component,
    not through the choice. Their code fills odd sizes up on the circle and so is not equivariant
    there; here this is an error.

    Args:
      x: the input `[B, *spatial, C]`.
      strides: see `split_phases`.
      padding: likewise.
      norm: l1, l2 or linf.

    Returns:
      y `[B, *spatial / strides, C]`, and the index `[B]`.

    Raises:
      UserError: an unknown norm, or sizes as in `split_phases`.
    """
    if norm not in _NORMS:
        raise UserError(f"aps: unknown norm '{norm}': {did_you_mean(norm, NORMS)}")
    phases = _cut(x, strides, padding)
    axes = tuple(range(1, x.ndim))
    index = jnp.argmax(jnp.stack([_NORMS[norm](widened(p), axes) for p in phases]), axis=0)
    return _pick(phases, index), index


def take_phase(x: Array, phase: Array, strides: Size, padding: Padding) -> Array:
    """Takes the component that another path picked, `[B, *spatial / strides, C]`.

    Args:
      x: the input `[B, *spatial, C]`.
      phase: the index `[B]` that `select_phase` returns, or `phase_weights` `[B, P]`.
      strides: see `split_phases`.
      padding: likewise.

    Raises:
      UserError: `phase` is of another number of components than strides makes.
    """
    phases = _cut(x, strides, padding)
    if phase.ndim == 1:
        return _pick(phases, phase)
    if phase.shape[-1] != len(phases):
        raise UserError(
            f"polyphase: {phase.shape[-1]} weights for the {len(phases)} components of strides "
            f"{strides}; use the same strides on both paths"
        )
    weights = widened(phase).reshape(*phase.shape, *(1,) * (x.ndim - 1))
    terms = (weights[:, i] * widened(component) for i, component in enumerate(phases))
    return sum(terms).astype(x.dtype)


def _pick(phases: list[Array], index: Array) -> Array:
    # Selecting compiles to one pass, and its gradient to another; a gather's would scatter.
    index = index.reshape(index.shape + (1,) * (phases[0].ndim - 1))
    y = phases[0]
    for p, component in enumerate(phases[1:], 1):
        y = jnp.where(index == p, component, y)
    return y


def phase_weights(logits: Array, key: Array | None, temperature: float = 1.0) -> Array:
    """Weights of the components in learnable polyphase sampling, float32 `[B, P]`.

    Training: gumbel-softmax, softmax((logits + g) / temperature), g = -log(-log(u)), u uniform.
    Evaluation (no key): 1 for the first largest logit, 0 elsewhere (Rojas-Gomez et al., NeurIPS
    2022). y = `take_phase(x, weights, ...)`. The logits come from one network applied to every
    component alike, or the sampling is not equivariant; theirs: 3x3 convolution, ReLU, 3x3
    convolution, circular, mean over all positions and channels.

    A trained mixture meets a hard choice in evaluation; the temperature has to fall until the two
    agree. Their code knows strides 2 only and fills odd sizes up with zeros.

    Args:
      logits: `[B, P]`.
      key: for the noise; None in evaluation.
      temperature: of the softmax, above 0; a number, or an array where it follows the step.

    Raises:
      UserError: a temperature of 0 or below.
    """
    if isinstance(temperature, float | int) and temperature <= 0:
        raise UserError(f"lps: temperature={temperature} is not positive; use e.g. 1.0")
    logits = widened(logits)
    if key is None:
        return jax.nn.one_hot(jnp.argmax(logits, axis=-1), logits.shape[-1], dtype=logits.dtype)
    noise = jax.random.gumbel(key, logits.shape, logits.dtype)
    return jax.nn.softmax((logits + noise) / temperature, axis=-1)
