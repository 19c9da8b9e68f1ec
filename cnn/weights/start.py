"""Imports, lists and exports from the command line."""

from pathlib import Path

from ml_collections import ConfigDict

from cnn.config.errors import UserError
from cnn.config.plugin import check_plugins
from cnn.foreign.fitting import without_prefix
from cnn.foreign.imported import HEAD, Imported, ImportRequest, bring, choose
from cnn.foreign.layouts import LAYOUTS
from cnn.foreign.readers import read
from cnn.foreign.recorded import recorded_in
from cnn.training.mesh import check_platform
from cnn.training.run_folder import check_free
from cnn.training.start import use_compilation_cache
from cnn.training.stored_weights import read_weights
from cnn.weights import exported, reference, run_of_weights
from cnn.weights.class_names import checked_names, class_names
from cnn.weights.completed import completed


def import_weights(
    request: ImportRequest,
    workdir: str,
    check: str | None,
    tolerance: float | None,
    class_file: str | None,
) -> None:
    """Writes a run folder and prints what was taken, set and checked."""
    use_compilation_cache()
    check_platform()
    check_free(Path(workdir).absolute(), "--workdir")
    imported = completed(bring(request))
    data = imported.candidate.config.data
    if not (data.mean and data.std):
        raise UserError(
            "--config.data.mean, --config.data.std: the layout does not record how the weights' "
            "input is normalised; set both, for pixels in [0, 1]"
        )
    names = _class_names(imported, class_file)
    for line in _report(imported):
        print(line)
    if names:
        print(f"outputs are the classes {names[0]}, {names[1]}, ... {names[-1]}")
    else:
        print("class names are unknown: labels are the indices of the outputs")
    checked = None
    if check:
        checked = reference.check(imported, check, tolerance or reference.TOLERANCE)
        print(f"checked: the logits differ by at most {checked:.1e} of the largest")
    else:
        print("not checked: --check=FILE compares with inputs and logits of the source")
    folder = run_of_weights.write(imported, workdir, checked, names)
    print(f"python eval.py --workdir={folder.path} evaluates it")


def _report(imported: Imported) -> list[str]:
    candidate, origin = imported.candidate, imported.origin
    data = candidate.config.data
    normalised = {name: tuple(data[name]) for name in ("mean", "std")}
    return [
        f"{origin['file']}: {origin['form']}, as {origin['source_model']} of {origin['layout']} "
        f"({LAYOUTS[candidate.layout].about})",
        *imported.notes,
        *(f"sets {text}" for text in candidate.set_fields),
        *_resize(data),
        f"input: pixels / 255, minus {normalised['mean']}, over {normalised['std']}",
        f"{len(candidate.fit.taken)} tensors taken, {candidate.num_classes} classes",
        *(f"freshly initialised: {leaf.name}" for leaf in imported.fresh),
    ]


def _class_names(imported: Imported, file: str | None) -> tuple[str, ...]:
    candidate = imported.candidate
    new_head = any(leaf.name.startswith(HEAD[:-1]) for leaf in imported.fresh)
    recorded = imported.recorded.class_names
    if recorded and not (file or new_head):
        return checked_names(recorded, candidate.num_classes, "--from: the metadata of the file")
    config = candidate.config
    fields = LAYOUTS[candidate.layout].counterpart(config.model.name).fields
    known = {} if new_head or imported.recorded.fields else fields
    return class_names(known, config.data.source, candidate.num_classes, file)


def _resize(data: ConfigDict) -> list[str]:
    if not data.image_size:
        return []
    side = round(data.image_size / data.crop_ratio)
    return [
        f"evaluated on the centre {data.image_size} of images whose shorter side is resized to "
        f"{side} ({data.interpolation})"
    ]


def list_tensors(request: ImportRequest) -> None:
    """Prints source name -> our name, shape, of every tensor of a file."""
    file = read(request.source)
    tensors, prefix = without_prefix(file.tensors)
    ours: dict[str, str] = {}
    if request.model:
        candidate = choose(request, tensors, recorded_in(file))
        ours = {leaf.theirs: leaf.name for leaf in candidate.leaves}
        print(f"layout {candidate.layout}")
    for name, tensor in tensors.items():
        target = f" -> {ours[name]}" if name in ours else " -> nothing" if ours else ""
        print(f"{prefix}{name}{target}, {tensor.shape} {tensor.dtype}")
    if request.model:
        for line in candidate.fit.differences():
            if not line.startswith("left over"):
                print(line)


def export_weights(run: str, step: str, layout: str, file: str) -> None:
    """Writes a checkpoint's variables as safetensors."""
    found = read_weights(run, "--workdir", step)
    check_plugins(found.config.plugins, run)
    count, differing = exported.export(
        found.config, found.num_classes, found.variables, layout, file, found.resolved
    )
    print(f"{file}: {count} tensors of {found.config.model.name}, layout {layout}")
    print(f"input: pixels / 255, minus {found.mean}, over {found.std}")
    for sentence in differing:
        print(f"its logits differ there: {sentence}")
