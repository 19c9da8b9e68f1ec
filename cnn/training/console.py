"""Terminal output of a run: the network, a progress bar and the results."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from cnn.data import SIGNALS
from cnn.training.mesh import unused_devices
from cnn.training.plan import TrainingPlan
from cnn.training.run_folder import RunFolder

_REFRESHES = 1  # of the progress bar, per second


class Display:
    """Prints to a terminal, or as plain lines if the output is redirected.

    Args:
      quiet: print nothing (processes other than the first, and studies).
    """

    def __init__(self, *, quiet: bool = False):
        self.console = Console(quiet=quiet, highlight=False, soft_wrap=not sys.stdout.isatty())

    def say(self, text: str) -> None:
        """Prints one line."""
        self.console.print(text, markup=False)

    def network(self, name: str, model: nn.Module, input_shape: tuple[int, ...], kind: str) -> None:
        """Prints a table of the network: modules, output shapes of one example, parameters."""
        table = Table(title=f"{name} on {'x'.join(map(str, input_shape))} {_examples(kind)}")
        for column, justify in (("module", "left"), ("output", "left"), ("parameters", "right")):
            table.add_column(column, justify=justify)
        rows, total = network_rows(model, input_shape)
        for module, output, parameters in rows:
            table.add_row(module, output, f"{parameters:,}")
        table.add_section()
        table.add_row("total", "", f"{total:,}")
        self.console.print(table)

    def plan(self, plan: TrainingPlan, mesh: Mesh, requested: int) -> None:
        """Prints the values resolved from the config, and the devices of `requested` ones."""
        scaled = "scaled" if plan.scaling == "linear" else "not scaled"
        self.say(
            f"{plan.total_steps:,} steps over {plan.train_examples:,} examples, peak learning rate "
            f"{plan.learning_rate:g} ({scaled} with the batch), warm-up {plan.warmup_steps} steps, "
            f"on {mesh.size} x {mesh.devices.flat[0].device_kind}{unused_devices(mesh, requested)}"
        )

    @contextmanager
    def progress(self, start: int, total: int, config: ConfigDict) -> Iterator["StepProgress"]:
        """Shows the progress of training while the context is open."""
        columns = (
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[status]}"),
        )
        quiet = not self.console.is_terminal
        # The host may share its cores with the step, so the bar is drawn rarely.
        with Progress(
            *columns, console=self.console, disable=quiet, refresh_per_second=_REFRESHES
        ) as bar:
            examples = _examples(config.data.signal)
            yield StepProgress(self, bar, start, total, config.train.batch_size, examples)

    def result(self, folder: RunFolder, result: dict[str, Any]) -> None:
        """Prints the final metrics of a run and the location of its files."""
        self.metrics("test", result["test"])
        self.say(f"results in {folder.path}:")
        trackers = result["config"]["log"]["trackers"]
        events = f" (also in {trackers})" if trackers else ""
        for path, content in (
            (folder.result_file, "final metrics, accuracy per class, and provenance"),
            (folder.metrics_file, f"metrics over time{events}"),
            (folder.checkpoints, f"evaluate with: python eval.py --workdir={folder.path}"),
        ):
            self.say(f"  {path.name:14} {content}")

    def metrics(self, split: str, metrics: dict[str, Any]) -> None:
        """Prints the main metrics of a split."""
        top5 = metrics.get("top5_accuracy")
        self.say(
            f"{split}: accuracy {metrics['accuracy']:.4f}, loss {metrics['loss']:.4f}"
            + (f", top-5 {top5:.4f}" if top5 is not None else "")
            + f" ({metrics['count']:,} examples, each once)"
        )


class StepProgress:
    """The bar of one training; time spent evaluating and saving does not count as training.

    Args:
      display: to print on.
      bar: to move.
      start: first step.
      total: steps.
      batch_size: of a step.
      examples: their name, in the plural.
    """

    def __init__(
        self,
        display: Display,
        bar: Progress,
        start: int,
        total: int,
        batch_size: int,
        examples: str,
    ):
        self._display, self._bar, self._batch_size, self._total = display, bar, batch_size, total
        self._examples = examples
        self._task = bar.add_task("train", total=total, completed=start, status="compiling")
        self._mark, self._seconds, self._since = start, 0.0, None

    def advance(self, step: int) -> None:
        """Moves the bar to a step."""
        if self._since is None:
            # The first step includes compilation, so the clock starts after it.
            self._since, self._mark = time.perf_counter(), step
        self._bar.update(self._task, completed=step)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stops the clock during anything but training."""
        now = time.perf_counter()
        self._seconds += now - (self._since or now)
        yield
        if self._since is not None:
            self._since = time.perf_counter()

    def report(self, step: int, metrics: dict[str, float]) -> dict[str, float]:
        """Shows the metrics since the last report; returns the throughput, once known."""
        now = time.perf_counter()
        seconds, steps = self._seconds + now - (self._since or now), step - self._mark
        self._mark, self._seconds, self._since = step, 0.0, now
        status = f"loss {metrics['loss']:.4f}  accuracy {metrics['accuracy']:.4f}"
        speed = {}
        if steps and seconds:
            speed["images_per_second"] = steps * self._batch_size / seconds
            left = (self._total - step) * seconds / steps
            status += f"  {speed['images_per_second']:,.0f} {self._examples}/s"
            status += f"  {format_seconds(left)} left"
        self._bar.update(self._task, completed=step, status=status)
        if not self._display.console.is_terminal:
            self._display.say(f"step {step}/{self._total}  {status}")
        return speed


def _examples(signal: str) -> str:
    return f"{SIGNALS[signal].stored.name}s"


def format_seconds(seconds: float) -> str:
    """Formats a duration: 42s, 3m07s, 2h05m."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02}m"


def network_rows(
    model: nn.Module, input_shape: tuple[int, ...]
) -> tuple[list[tuple[str, str, int]], int]:
    """Returns (module, output shape of one example, parameters) as called, and the total.

    Nothing is computed: only shapes are traced.
    """
    outputs: dict[str, str] = {}

    def note(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        result = call(*args, **kwargs)
        if context.method_name == "__call__" and len(context.module.path) == 1:
            array = jax.tree.leaves(result)[0]
            outputs[context.module.path[0]] = " x ".join(map(str, array.shape[1:]))
        return result

    def init(key: jax.Array) -> Any:
        with nn.intercept_methods(note):
            return model.init(key, jnp.zeros((1, *input_shape)), train=False)["params"]

    params = jax.eval_shape(init, jax.random.key(0))
    sizes = {name: sum(x.size for x in jax.tree.leaves(tree)) for name, tree in params.items()}
    # Dropout and the like have neither parameters nor an effect on the shape.
    shown = [n for n in outputs if n in sizes or not n.startswith("Dropout")]
    names = [*shown, *(name for name in sizes if name not in outputs)]
    return [(n, outputs.get(n, ""), sizes.get(n, 0)) for n in names], sum(sizes.values())
