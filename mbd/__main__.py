"""`python -m mbd` is the `mbd` command."""

from mbd.cli.main import run

if __name__ == "__main__":
    run()
