"""``python check_config.py FILE …``: reads each ``config.pbtxt`` into Triton's own message, in an environment with tritonclient.

Prints tritonclient's version and, as JSON, what the messages hold; ends with code 1 and a sentence for a file that is none.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2  # pyright: ignore[reportMissingImports]  (in the environment of target triton)


def main() -> None:
    """One file after another."""
    found = []
    for path in map(Path, sys.argv[1:]):
        try:
            message = text_format.Parse(path.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
        except text_format.ParseError as error:
            sys.exit(f"{path}: {error}")
        found.append(json_format.MessageToDict(message, preserving_proto_field_name=True))
    print(json.dumps({"version": version("tritonclient"), "configurations": found}))


if __name__ == "__main__":
    main()
