"""The logits of other libraries' networks, at even and odd sizes."""

import jax
import numpy as np
import pytest

from benchmarks.golden_weights import images
from cnn.foreign.fitting import fit, nested
from tests.weights.golden import FILES, read_golden


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_logits_are_those_of_the_source(file):
    golden = read_golden(file)
    leaves = golden.leaves()
    found = fit(golden.layout, leaves, golden.tensors)
    assert found.perfect, list(found.differences())
    variables = nested({leaf.ours: leaf.bring(golden.tensors) for leaf in leaves})
    network = golden.network
    # Not closed over: constants of the program would be folded while it is compiled.
    run = jax.jit(lambda variables, x: network.apply(variables, x, False))
    for size, logits in golden.logits.items():
        y, wanted = run(variables, images(tuple(map(int, size.split("x"))))), np.float32(logits)
        assert np.abs(wanted[0] - wanted[1]).max() > 5e-3 * np.abs(wanted).max()
        assert np.abs(y - wanted).max() <= 1e-4 * np.abs(wanted).max(), size
