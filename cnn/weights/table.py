"""The table of layouts in docs/weights.md."""

from cnn.foreign.layouts import LAYOUTS
from cnn.foreign.readers import FORMS


def markdown() -> str:
    """Returns the table of layouts and networks."""
    rows = [
        f"Read: {FORMS}. Written: safetensors.",
        "",
        "| `--layout` | source | export | `--model` (name in the source) |",
        "| --- | --- | --- | --- |",
    ]
    for name, layout in sorted(LAYOUTS.items()):
        pairs = [
            f"`{ours}`" if ours == entry.name else f"`{ours}` ({entry.name})"
            for ours, entry in layout.networks.items()
        ]
        written = "yes" if layout.exports else "no"
        about = f"{', '.join(pairs) or 'every network'}"
        rows.append(f"| `{name}` | {layout.about} | {written} | {about} |")
    rows += ["", "Fields set by each layout:", ""]
    rows += _settings()
    return "\n".join(rows)


def _settings() -> list[str]:
    rows = ["| `--layout` | `--model` | fields |", "| --- | --- | --- |"]
    for name, layout in sorted(LAYOUTS.items()):
        kinds: dict[tuple[tuple[str, str], ...], list[str]] = {}
        for ours, entry in layout.networks.items():
            fields = tuple((field, repr(value)) for field, value in entry.fields.items())
            kinds.setdefault(fields, []).append(ours)
        for fields, models in kinds.items():
            overrides = ", ".join(f"{field}={value}" for field, value in fields)
            listed = ", ".join(f"`{model}`" for model in models)
            rows.append(f"| `{name}` | {listed} | {overrides} |")
    return rows
