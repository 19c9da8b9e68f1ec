"""The suite `cost`: MACs and parameters from shapes, speed and memory on this machine."""

from dataclasses import asdict

from cnn.config.metric import Metric
from cnn.cost.count import count
from cnn.cost.speed import measure_speed
from cnn.cost.table import QUANTITIES
from cnn.evaluation.checkpointed_run import CheckpointedRun
from cnn.evaluation.cost.section import cost_section
from cnn.evaluation.suite import Progress, Results, Suite

METRICS = (
    Metric("total, macs", "MACs per example", "MACs", "MACs", False, "multiply-accumulates"),
    Metric("total, parameters", "Parameters", "parameters", "", False, "learned parameters"),
    Metric(
        "total, activations",
        "Activations per example",
        "activations",
        "",
        False,
        "output elements of convolutions and linear maps",
    ),
    Metric(
        "measured, throughput, images_per_second",
        "Throughput",
        "throughput",
        "examples/s",
        True,
        "at evaluation.batch_size, on one device",
    ),
    Metric(
        "measured, latency, median",
        "Latency",
        "latency",
        "ms",
        False,
        "of one example, median",
        scale=1e3,
    ),
    Metric(
        "measured, train_step, median",
        "Training step",
        "training step",
        "ms",
        False,
        "at train.batch_size on one device, median",
        scale=1e3,
    ),
)


def measure_cost(run: CheckpointedRun, split: str, progress: Progress) -> Results:
    """Counts parameters and MACs, then measures speed and memory.

    See `cnn.cost.count` and `cnn.cost.speed`. The split is not read.
    """
    cost = count(run.evaluator.model, run.evaluator.dataset.input_shape)
    counted = {
        "input_shape": list(run.evaluator.dataset.input_shape),
        "total": {quantity: cost.total(quantity) for quantity in QUANTITIES},
        "layers": [asdict(layer) for layer in cost.layers],
    }
    progress.keep(counted)
    return counted | {"measured": measure_speed(run.evaluator, run.variables, progress.show)}


SUITE = Suite(
    about="multiply-accumulates, parameters, memory, speed",
    measure=measure_cost,
    section=cost_section,
    metrics=METRICS,
)
