"""Core AI's runtime on one asset. It is asynchronous: a thread with a loop of its own asks it, so that callers need not be."""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ...model.graph import Arrays

if TYPE_CHECKING:
    from coreai.authoring import AIProgram
    from coreai.runtime import AIModel, InferenceFunction, InferenceFunctionDescriptor, LogEvent

Result = TypeVar("Result")
FUNCTION, PROGRAM, PROGRAM_HASH = "main", "main.mlirb", "main.hash"
# What the profiler calls the execution of a kernel.
CALL = "call.coreai."


def library_version() -> str:
    """Of Core AI."""
    return version("coreai-core")


class Session:
    """An asset, compiled for this CPU.

    Args:
        path: of the asset.

    Raises:
        Exception: whatever Core AI raises of an asset that it cannot open.
    """

    def __init__(self, path: Path) -> None:
        from coreai.authoring import AIModelAsset

        # Core AI (1.0.0b3) ends the process that lets it read a damaged program.
        if sha256((path / PROGRAM).read_bytes()).digest() != (path / PROGRAM_HASH).read_bytes():
            raise ValueError(f"{PROGRAM} is damaged: it is not what {PROGRAM_HASH} says")
        self._thread, self._loop, self._stack = ThreadPoolExecutor(1), asyncio.Runner(), AsyncExitStack()
        try:
            self._asset = AIModelAsset.load(path)
            self._model: AIModel = self._wait(self._stack.enter_async_context(self._asset.executable()))
            self._function = self._model.load_function(FUNCTION)
        except BaseException:
            self.close()
            raise

    @property
    def program(self) -> "AIProgram":
        """What is in the asset, read again each time."""
        return self._asset.program

    @property
    def interface(self) -> "InferenceFunctionDescriptor":
        """Names, types and shapes of inputs and outputs."""
        return self._function.desc

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Named arrays in, named arrays out."""
        return self._wait(_call(self._function, inputs))

    def kernels(self, inputs: Arrays) -> tuple[tuple[str, int], ...]:
        """What the runtime executes in one run, by its own record: names of kernels, most frequent first."""
        from coreai.runtime import Profiler

        found: Counter[str] = Counter()

        def begins(event: "LogEvent") -> int:
            found[event.event_id] += 1
            return 0

        function = self._model.load_function(FUNCTION, profiler=Profiler(on_log_event_begin=begins))
        self._wait(_call(function, inputs))
        return tuple((name.removeprefix("call."), count) for name, count in found.most_common() if name.startswith(CALL))

    def close(self) -> None:
        """Ends the thread and takes the compiled form off the disk; called once."""
        self._wait(self._stack.aclose())
        self._thread.submit(self._loop.close).result()
        self._thread.shutdown()

    def _wait(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self._thread.submit(self._loop.run, work).result()


async def _call(function: "InferenceFunction", inputs: Arrays) -> dict[str, np.ndarray]:
    from coreai.runtime import NDArray

    given: Any = {name: NDArray(np.require(array, requirements=("C", "W"))) for name, array in inputs.items()}
    results: Any = await function(given)
    # They are views of the runtime's memory.
    return {name: result.numpy().copy() for name, result in results.items()}
