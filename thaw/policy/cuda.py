"""CUDA graphs, which save the launch of each kernel, and a second stream for parallel work."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

import torch

WARM_UP_CALLS = 3
"""Calls before the capture, as PyTorch requires: libraries choose their algorithms in them."""

Result = TypeVar("Result")

_logger = logging.getLogger(__name__)

_capturing = threading.Lock()


class Replayed(Generic[Result]):
    """A function that reads and writes the same memory in every call.

    On a CUDA device, its kernels are captured once and then replayed as one CUDA graph. The
    result is then always the same tensors, overwritten by each call. On other devices, the
    function is called each time. The function must not read a value from the device, and its
    control flow must not depend on one.

    Args:
        function: It has no arguments; it reads changing input from tensors that stay in place.
        device: The device of its tensors.
    """

    def __init__(self, function: Callable[[], Result], device: torch.device) -> None:
        self.function = function
        self.num_calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.can_capture = device.type == "cuda"
        self.result: Result | None = None

    def __call__(self) -> Result:
        """Call the function, or replay it."""
        if self.graph is not None:
            self.graph.replay()
            assert self.result is not None
            return self.result
        if self.can_capture and self.num_calls == WARM_UP_CALLS:
            self._capture()
            return self()
        self.num_calls += 1
        return self.function()

    def _capture(self) -> None:
        """Capture the kernels; if that fails, the function is called from now on."""
        graph = torch.cuda.CUDAGraph()
        try:
            # Thread-local, because actor and learner may use the GPU from two threads. The lock,
            # because a capture first waits for the whole GPU, which is an error in another capture.
            with _capturing, torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self.result = self.function()
        except RuntimeError as error:
            self.can_capture = False
            _logger.warning("no CUDA graph, which costs speed only: %s", error)
            return
        self.graph = graph


class SideStream:
    """A second CUDA stream, for work parallel to the caller's; does nothing on a CPU.

    Args:
        device: The device of the stream.
    """

    def __init__(self, device: torch.device) -> None:
        self.stream: torch.cuda.Stream | None = None
        if device.type == "cuda":  # PyTorch gives a stream's constructor no types
            self.stream = torch.cuda.Stream(device, priority=-1)  # type: ignore[no-untyped-call]

    def mark(self) -> torch.cuda.Event | None:
        """Return a mark after everything that the calling thread has launched so far."""
        if self.stream is None:
            return None
        event: torch.cuda.Event = torch.cuda.current_stream(self.stream.device).record_event()
        return event

    @contextmanager
    def after(self, mark: torch.cuda.Event | None) -> Iterator[None]:
        """Launch the block's work on this stream, to run after a mark from any thread."""
        with torch.cuda.stream(self.stream):
            if self.stream is not None and mark is not None:
                self.stream.wait_event(mark)
            yield

    def join(self) -> None:
        """Make all that the calling thread launches from now on wait for this stream."""
        if self.stream is not None:
            torch.cuda.current_stream(self.stream.device).wait_stream(self.stream)
