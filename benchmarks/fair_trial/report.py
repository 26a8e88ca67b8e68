"""The tables of the trial, in markdown."""

# Columns by family: title, and where the score is in a record.
COLUMNS = {
    "tokens": {
        "slots": ("slots",),
        "TREC": ("last", "trec"),
        "SST-2": ("last", "sst2"),
        "average, last layer": ("last", "avg8"),
        "average, embeddings": ("embeddings", "avg8"),
    },
    "bag": {
        "average": ("embeddings", "avg8"),
        "in-domain": ("embeddings", "in_domain"),
        "STS-B": ("embeddings", "stsb"),
        "XQuAD": ("embeddings", "xquad"),
        "TREC": ("embeddings", "trec"),
    },
    "blocks": {
        "average, both": ("both", "avg8"),
        "in-domain, both": ("both", "in_domain"),
        "average, embeddings": ("embeddings", "avg8"),
        "in-domain, embeddings": ("embeddings", "in_domain"),
    },
}
