"""The program `secoda-async`."""

import sys


def main() -> int:
    """Run a command and return its exit code; without the extra `cli`, say how to install it."""
    try:
        from secoda_async.cli import app  # noqa: PLC0415 - an optional, slow import

        return app.main(sys.argv[1:])
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("cyclopts", "rich"):
            raise
        sys.stderr.write(f"secoda-async: {error.name} is missing: pip install 'secoda-async[cli]'\n")
        return 64
    except KeyboardInterrupt:  # during the import or at exit; app.main handles the rest
        sys.stderr.write("secoda-async: interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
