"""Where the stages keep what they make, relative to the project's folder."""

from pathlib import Path

DIGITS = Path("data/digits.h5")
GROUPS = Path("groups")
BASES = Path("bases")
MODELS = Path("models")
CLASSIFIERS = Path("models/classifiers")
CURVES = Path("reports/curves")
CLASSIFIER_CURVES = Path("reports/curves/classifiers")
METRICS = Path("reports/metrics.json")
CLASSIFICATION = Path("reports/classification.json")
PREDICTIONS = Path("reports/predictions")
TIMINGS = Path("reports/timings.json")
FIGURES = Path("reports/figures")
CLASSIFIER_FIGURES = Path("reports/figures/classifiers")

# Not outputs of the pipeline: what an interrupted run needs to go on.
CHECKPOINTS = Path(".equibasis/checkpoints")
