"""How the examples under `certs/examples` are made: fixed keys, a fixed clock, no randomness."""
