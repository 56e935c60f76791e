"""What goes through a pipe: a length in eight bytes, and then a value that Python pickles. Both ends are this package's own processes."""

import pickle
import struct
from typing import IO, Any

LENGTH = struct.Struct("<Q")


def send(stream: IO[bytes], value: Any) -> None:
    """Writes a value. OSError if nobody reads any more."""
    content = pickle.dumps(value, protocol=5)
    stream.write(LENGTH.pack(len(content)) + content)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """Reads a value. EOFError if there is none, or not all of one."""
    (length,) = LENGTH.unpack(_exactly(stream, LENGTH.size))
    return pickle.loads(_exactly(stream, length))


def _exactly(stream: IO[bytes], length: int) -> bytes:
    content = stream.read(length)
    if len(content) < length:
        raise EOFError("the pipe has ended")
    return content
