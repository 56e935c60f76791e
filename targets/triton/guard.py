"""``python guard.py COMMAND …``: runs a command, and ends it when its own standard input ends, which it does with whoever started it."""

import os
import subprocess
import sys
import threading


def main() -> None:
    """Exit code of the command; 128 and the signal's number if one ended it, as of a shell."""
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)

    def end() -> None:
        # Not through sys.stdin, which a thread may not hold while Python ends.
        while os.read(0, 4096):
            pass
        child.terminate()

    threading.Thread(target=end, daemon=True).start()
    code = child.wait()
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
