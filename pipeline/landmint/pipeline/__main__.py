"""Starts the command `landmint`, or says in one line what to install for it."""

import sys


def main() -> None:
    """Entry point of the command; exit code 2 where the libraries of the command are missing."""
    try:
        from landmint.pipeline.cli import main as command
    except ModuleNotFoundError as error:
        from landmint.pipeline.failures import explain

        explained = explain(error)
        print(f"landmint: {explained}", file=sys.stderr)
        sys.exit(explained.exit_code)
    command()


if __name__ == "__main__":
    main()
