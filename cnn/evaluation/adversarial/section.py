"""Page section on adversarial examples."""

from collections.abc import Sequence

from markupsafe import Markup

from cnn.evaluation.suite import MeasuredRun
from cnn.pages import page
from cnn.pages.page import Cell, Column, sortable_table

NOTE = (
    "Accuracy in percent on images perturbed by at most epsilon grey levels per pixel by white-box "
    "attacks: one step along the sign of the gradient (FGSM, Goodfellow et al., ICLR 2015), and "
    "projected gradient steps from a random start (PGD, Madry et al., ICLR 2018). These are upper "
    "bounds on the accuracy under the worst perturbation, as stronger attacks may lower it."
)


def adversarial_section(runs: Sequence[MeasuredRun]) -> Markup:
    """Returns a table of the runs."""
    labels = ("examples", "epsilon", "PGD steps", "clean", "FGSM", "PGD")
    columns = [Column("run"), *(Column(label, numeric=True) for label in labels)]
    rows = []
    for run in runs:
        numbers = [run.results[name] for name in ("count", "epsilon", "steps")]
        shares = [run.results[name]["accuracy"] for name in ("clean", "fgsm", "pgd")]
        cells = [Cell(f"{value:,g}", value) for value in numbers]
        cells += [Cell(f"{100 * value:.2f}", value) for value in shares]
        rows.append([Cell(run.name), *cells])
    return page.section("Adversarial examples", sortable_table(columns, rows), note=NOTE)
