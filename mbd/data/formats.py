"""Names of the kinds of sources; apart, so that help needs no NumPy."""

FORMATS = ("npz", "csv", "parquet", "npy", "mmsa")
"""`npy` is a folder with a manifest, `mmsa` a pickle of MMSA."""
