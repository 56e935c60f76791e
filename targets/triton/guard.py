"""``python guard.py COMMAND …``: runs a command, and ends it when its own standard input ends, which it does with whoever started it."""

import subprocess
import sys
import threading


def main() -> None:
    """Exit code of the command."""
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)

    def end() -> None:
        sys.stdin.buffer.read()
        child.terminate()

    threading.Thread(target=end, daemon=True).start()
    sys.exit(child.wait())


if __name__ == "__main__":
    main()
