"""A GPU's own ways: the same work replayed without launching its kernels, work side by side."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

import torch

WARM_UP_CALLS = 3
"""Before the capture, as PyTorch asks: libraries choose their algorithms then."""

Result = TypeVar("Result")

_logger = logging.getLogger(__name__)

_capturing = threading.Lock()


class Replayed(Generic[Result]):
    """A function that reads and writes the same memory in every call.

    On a CUDA device its kernels are captured once and then replayed as one CUDA graph; its result
    is then the same tensors each time, overwritten. Elsewhere it is simply called. The function
    must not look at a value on the device (that would wait for it) nor choose by one.

    Args:
        function: Takes no arguments: what changes between calls lies in tensors that it knows.
        device: Where its tensors are.
    """

    def __init__(self, function: Callable[[], Result], device: torch.device) -> None:
        self.function = function
        self.num_calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.can_capture = device.type == "cuda"
        self.result: Result | None = None

    def __call__(self) -> Result:
        """Do it once."""
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
        """Record the kernels; what cannot be recorded is called for good."""
        graph = torch.cuda.CUDAGraph()
        try:
            # Another thread may use the GPU meanwhile: actors and learner work side by side. But
            # a capture begins by waiting for the whole GPU, which another capture forbids.
            with _capturing, torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self.result = self.function()
        except RuntimeError as error:
            self.can_capture = False
            _logger.warning("no CUDA graph, which costs speed only: %s", error)
            return
        self.graph = graph


class SideStream:
    """A stream of a GPU for work beside the caller's; on a CPU nothing.

    Args:
        device: Whose.
    """

    def __init__(self, device: torch.device) -> None:
        self.stream: torch.cuda.Stream | None = None
        if device.type == "cuda":  # PyTorch declares no types for a stream's constructor
            self.stream = torch.cuda.Stream(device, priority=-1)  # type: ignore[no-untyped-call]

    def mark(self) -> torch.cuda.Event | None:
        """Mark what the calling thread has launched so far."""
        if self.stream is None:
            return None
        event: torch.cuda.Event = torch.cuda.current_stream(self.stream.device).record_event()
        return event

    @contextmanager
    def after(self, mark: torch.cuda.Event | None) -> Iterator[None]:
        """Launch on this stream, behind what a mark stands for, maybe from another thread."""
        with torch.cuda.stream(self.stream):
            if self.stream is not None and mark is not None:
                self.stream.wait_event(mark)
            yield

    def join(self) -> None:
        """Let what the calling thread launches from here on wait for this stream."""
        if self.stream is not None:
            torch.cuda.current_stream(self.stream.device).wait_stream(self.stream)
