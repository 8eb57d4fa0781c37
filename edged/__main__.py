"""`python -m edged` and the `edged` command: errors become one line and exit status 1, never a traceback."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line; exits with 0, 1 (what was asked for failed) or 2 (it was asked for wrongly)."""
    from edged.cli import edged
    from edged.errors import EdgedError
    from edged_ipc.errors import IpcError

    try:
        edged.main(prog_name="edged")
    except (EdgedError, IpcError) as error:
        print(f"edged: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone: nothing to tell it
        sys.exit(1)
    except OSError as error:
        print(f"edged: {error.filename or ''}: {error.strerror}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
