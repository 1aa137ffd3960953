"""Missing-by-Design: models of sentiment that can honour "stop using my voice"."""

__version__ = "0.1.0"
