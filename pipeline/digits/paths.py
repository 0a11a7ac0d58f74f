"""Where the stages keep what they make, relative to the project's folder."""

from pathlib import Path

DIGITS = Path("data/digits.h5")
GROUPS = Path("groups")
BASES = Path("bases")
MODELS = Path("models")
CURVES = Path("reports/curves")
METRICS = Path("reports/metrics.json")
CLASSIFICATION = Path("reports/classification.json")
PREDICTIONS = Path("reports/predictions")
TIMINGS = Path("reports/timings.json")
FIGURES = Path("reports/figures")

# Not outputs of the pipeline: what an interrupted run needs to go on.
CHECKPOINTS = Path(".equibasis/checkpoints")
