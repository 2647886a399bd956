"""The program `secoda-async`."""

import sys
from typing import Final

_ADVICE: Final = """The command line is an extra. To install it, or to run it without an installation:
  pip install 'secoda-async[cli]'
  pipx install 'secoda-async[cli]'
  uvx --from 'secoda-async[cli]' secoda-async --help
"""


def main() -> int:
    """Run a command and return its exit code; without the extra `cli`, say how to install or run it."""
    try:
        from secoda_async.cli import app  # noqa: PLC0415 - an optional, slow import

        return app.main(sys.argv[1:])
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("cyclopts", "rich"):
            raise
        sys.stderr.write(f"secoda-async: {error.name} is missing. {_ADVICE}")
        return 64
    except KeyboardInterrupt:  # during the import or at exit; app.main handles the rest
        sys.stderr.write("secoda-async: interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
