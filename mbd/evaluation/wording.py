"""What the report calls things, and what it says about how they were measured."""

from __future__ import annotations

METRICS = {
    "mae": "Mean absolute error",
    "pearson": "Pearson correlation",
    "acc2Has0": "Acc-2, has 0",
    "f1Has0": "F1, has 0",
    "acc2Non0": "Acc-2, non-0",
    "f1Non0": "F1, non-0",
    "acc2": "Acc-2",
    "f1": "Weighted F1 of Acc-2",
    "acc3": "Acc-3",
    "acc5": "Acc-5",
    "acc7": "Acc-7",
    "accuracy": "Accuracy",
    "balancedAccuracy": "Balanced accuracy",
    "macroF1": "Macro F1",
    "weightedF1": "Weighted F1",
    "uar": "UAR",
}

SHORT = METRICS | {
    "mae": "MAE",
    "pearson": "Pearson",
    "f1": "F1",
    "balancedAccuracy": "Balanced acc.",
}

RATES = {"random": "rate", "whole": "rate", "imbalanced": "mean", "corrupt": "strength"}

TITLES = {
    "subsets": "Every subset of channels",
    "random": "Frames missing at random",
    "whole": "Whole channels missing",
    "imbalanced": "Channels missing at different rates",
    "corrupt": "Noise and shifts",
    "contributions": "What each channel contributes",
    "gradients": "How hard the task pulls at each encoder",
    "method": "How this was measured",
}

LEADS = {
    "subsets": "Each subset on the records that have all of it; everything else is taken away.",
    "random": "Every frame or token of every channel is missing with the same probability. The "
    "masks of two channels have nothing to do with each other. A channel that comes as a "
    "single vector is one frame.",
    "whole": "Every channel of every record is missing with the same probability; at least one "
    "is kept.",
    "imbalanced": "As before, but one channel is missing most often and the others less, evenly "
    "spaced, so that the mean of the nominal rates stays the same. Fewer channels have to be put "
    "back than at equal rates, so more are really missing.",
    "corrupt": "Nothing is missing. Noise is drawn for every value anew; a shift moves every "
    "feature of a channel up or down by the same amount in all records, like another "
    "microphone. Strength in standard deviations of each feature, as the model's scaler "
    "knows them.",
}

X_LABELS = {
    "random": "nominal rate of missing frames",
    "whole": "nominal rate of missing channels",
    "imbalanced": "mean nominal rate of missing channels",
    "corrupt": "strength, in standard deviations",
}

FILLS = {
    "drop": "removed: the sequence gets shorter",
    "zero": "replaced by zeros",
}

FAMILIES = {
    "mosi": "Labels in [−3, 3], as for CMU-MOSI and CMU-MOSEI. “Has 0”: not negative against "
    "negative. “Non-0”: records labelled 0 left out, positive against the rest. Acc-7 and "
    "Acc-5: both sides clipped to ±3 and ±2, then rounded, halves to the even number. F1 is "
    "weighted by the classes of the truth.",
    "sims": "Labels in [−1, 1], as for CH-SIMS. Both sides are clipped first, for errors too. "
    "Classes are cut at 0 (Acc-2), ±0.1 (Acc-3), ±0.1 and ±0.7 (Acc-5); an edge belongs to "
    "the class below. F1 is weighted by the classes of the truth.",
    "regression": "The label range has no customary classes, so only errors and correlation "
    "are given.",
    "classes": "Balanced accuracy is the mean recall of the classes that occur, also called "
    "UAR. Macro F1 counts every class alike, weighted F1 by its share of the truth.",
}
DEGENERATE = "A correlation with something constant counts 0, and so does a class never hit."

MASKS = (
    "What is missing follows from the seed, the name of the record, the channel and the rate: "
    "each draw is a SHAKE-256 hash of these. Neither the order of the records nor batches nor "
    "workers matter, and what is missing at one rate is missing at every higher one. When a "
    "record would lose everything, the frame or channel with the highest draw is kept, so the "
    "measured share is below the nominal rate where there is little to choose from. The digest "
    "is a SHA-256 over the masks of all records: equal digests mean equal masks."
)

INTERVALS = (
    "Intervals are 95 % percentile intervals of a bootstrap over people, not records, with the "
    "same {count} draws for every row. They say how the numbers would move with other people; "
    "nothing about training another model. With fewer than five people there are none."
)

TABLES = (
    "In the tables, “missing” is the share of frames or channels that really were missing. "
    "Grey numbers are the constant predictor on the same records: below each value, or in the "
    "last row where all rows have the same records. Intervals stand left of the metrics that "
    "have a plot. The last column begins the digest of the masks of that row."
)

SHAPLEY = (
    "What a channel adds to a metric, averaged over every order in which channels could be "
    "given to the model (Shapley's value), on the {n} records that have all of them. Given "
    "nothing, a model can only say the constant. For an error, larger means that it falls by "
    "more. Equity is ours: the entropy of the shares of what helps, 1 if all channels help "
    "alike, 0 if one alone helps."
)

GRADIENTS = (
    "How hard the task pulls at each encoder of the trained core, on {n} validation records: "
    "root mean square of the gradient of the task loss per weight. Imbalance is ours: "
    "(largest − smallest) / (largest + smallest) = {imbalance:.2f}; 0 means that all are equal."
)
