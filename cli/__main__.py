"""``python -m instantstyle.cli``: the command, where no script is installed."""

from .main import main

main()
