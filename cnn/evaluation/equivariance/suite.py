"""The suite `equivariance`: shift equivariance of each layer."""

from cnn.config.errors import UserError
from cnn.evaluation.checkpointed_run import CheckpointedRun
from cnn.evaluation.equivariance.errors import equivariance_errors, strides_of
from cnn.evaluation.equivariance.section import equivariance_section
from cnn.evaluation.feature_maps import feature_maps
from cnn.evaluation.model_under_test import model_under_test, sample
from cnn.evaluation.suite import ExampleCount, Progress, Results, Suite


def measure_equivariance(
    run: CheckpointedRun, split: str, progress: Progress, *, images: ExampleCount = 1024
) -> Results:
    """Measures the shift equivariance error of every block of the network.

    Args:
      run: the checkpoint.
      split: name of the split.
      progress: called after each batch.
      images: number of examples, evenly spaced over the split; 0: all. A thousand give the mean
        over more to two digits.

    Returns:
      {"count": examples seen, "layers": {name: results}, "left_out": names of layers whose map size
      does not divide that of the image}. For the results of a layer, see `equivariance_errors`.

    Raises:
      UserError: no layer has a map size that divides that of the image.
    """
    model = model_under_test(run, sample(run.split(split), images))
    maps = feature_maps(run.evaluator.model)
    strides, left_out = strides_of(model, maps)
    if not strides:
        raise UserError(
            "--suite=equivariance: no feature map of this network has a size that divides the "
            f"images' {model.image_shape[0]}x{model.image_shape[1]} pixels; "
            "use another model.padding"
        )
    results: Results = {}
    total = len(model.feed.split)
    for seen, found in equivariance_errors(model, maps, strides):
        results = {"count": seen, "layers": found, "left_out": left_out}
        progress.show(seen, total)
        progress.keep(results)
    return results


SUITE = Suite(
    about="shift equivariance error of each layer",
    measure=measure_equivariance,
    section=equivariance_section,
    signals=frozenset({"image"}),
)
