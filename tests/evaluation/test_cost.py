"""The cost suite's section: runs side by side, measured or interrupted before."""

import json
from dataclasses import asdict
from pathlib import Path

from cnn.cost import network_cost
from cnn.cost.table import QUANTITIES
from cnn.evaluation.cost.section import cost_section
from cnn.evaluation.suite import MeasuredRun
from configs import base


def results(**measured):
    cost = network_cost(base.get_config().model, (28, 28, 1), 10)
    counted = {
        "input_shape": [28, 28, 1],
        "total": {quantity: cost.total(quantity) for quantity in QUANTITIES},
        "layers": [asdict(layer) for layer in cost.layers],
    }
    return json.loads(json.dumps(counted | measured)), cost


def test_a_row_for_each_run_and_a_table_of_its_layers():
    measured = {
        "device": "a <device>",
        "throughput": {"images_per_second": 1234.5, "batch_size": 8},
        "latency": {"median": 0.0015, "p99": 0.0032},
        "train_step": {"median": 0.25, "p99": 0.5, "batch_size": 8},
        "planned_bytes": {"training": 3 * 2**20, "evaluation": 1},
        "peak_bytes": None,
    }
    done, cost = results(measured=measured)
    stopped, _ = results()
    text = cost_section(
        [MeasuredRun("done", done, Path()), MeasuredRun("stopped", stopped, Path())]
    )
    for words in ("1,234", "1.50", "3.20", "250.00", "3.0", "n/a", "not yet"):
        assert f">{words}<" in text
    assert "a &lt;device&gt;" in text
    assert "Layers of done" in text
    assert text.count("conv 3x3") == 2 * sum(layer.kind == "conv 3x3" for layer in cost.layers)
