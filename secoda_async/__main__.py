"""The command `secoda-async`; the command line itself is loaded only here."""

import sys


def main() -> int:
    """Run the command line and return its exit code; without the extra `cli`, say how to get it."""
    try:
        from secoda_async.cli import app  # noqa: PLC0415 - an extra, and slow to import

        return app.main(sys.argv[1:])
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("cyclopts", "rich"):
            raise
        sys.stderr.write(f"secoda-async: {error.name} is missing: pip install 'secoda-async[cli]'\n")
        return 64
    except KeyboardInterrupt:  # while it was imported, or as it ended
        sys.stderr.write("secoda-async: interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
