"""Page section on features."""

from collections.abc import Sequence

from markupsafe import Markup

from cnn.evaluation.suite import MeasuredRun, called
from cnn.pages import page

NOTE = (
    "Each filter is scaled to its own range. Maps: one row per {one}, of the block's channels "
    "with the largest means over these {many}. Grad-CAM (Selvaraju et al., ICCV 2017) of the "
    "predicted class at the last block, beside each {one}; with global average pooling it is the "
    "positive part of the class activation map of Zhou et al. (CVPR 2016). Confused classes: the "
    "pairs with the most errors, and the examples of largest loss."
)


def features_section(runs: Sequence[MeasuredRun]) -> Markup:
    """Returns the pictures of each run under its name."""
    parts = []
    for run in runs:
        drawn = [
            page.picture(
                run.folder / picture["file"],
                f"{picture['caption']}, of {run.name}",
                picture["caption"],
            )
            for picture in run.results["pictures"]
        ]
        axes = run.results.get("axes")
        caption = page.note(f"In the pictures: {axes}.") if axes else None
        parts.append(page.figure(run.name, caption, page.pair(*drawn)))
    note = NOTE.format(one=called(runs, plural=False), many=called(runs))
    return page.section("Features", *parts, note=note)
