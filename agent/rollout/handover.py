"""Models on their way to the pipeline: one thread offers them and waits, the pipeline takes them between two steps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from agent.errors import BundleError
from agent.pipeline.machine import Model
from agent.types import Commit

# The pipeline turns several times a second; a step that scores a backlog on a slow model may take a while.
PATIENCE_S = 30.0
# An exchange takes milliseconds once it has begun; a pipeline that hangs in one is restarted by the watchdog in half of this.
_LONGEST_EXCHANGE_S = 120.0

Exchange = Callable[[Sequence[Model]], Commit]


class _Offer:
    """One exchange; `settled` is set once it is done, or cannot be."""

    def __init__(self, models: Sequence[Model]) -> None:
        self.models = models
        self.settled = threading.Event()
        self.why: str | None = None


class Handover:
    """`put` may be called by one thread, `serve` is the pipeline's and never waits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._offer: _Offer | None = None

    def put(self, models: Sequence[Model], patience_s: float = PATIENCE_S) -> None:
        """Have the pipeline go on with `models`; raises BundleError, and nothing has changed, where it refuses, or does not come to it."""
        offer = _Offer(models)
        with self._lock:
            self._offer = offer
        if not offer.settled.wait(patience_s):
            with self._lock:
                taken, self._offer = self._offer is None, None
            if not taken:
                raise BundleError(f"the pipeline did not come to it within {patience_s:g} s: nothing was exchanged")
            if not offer.settled.wait(_LONGEST_EXCHANGE_S):
                raise BundleError(f"the pipeline has hung in the exchange for {_LONGEST_EXCHANGE_S:g} s")
        if offer.why is not None:
            raise BundleError(offer.why)

    def serve(self, exchange: Exchange) -> Commit | None:
        """Exchange what is offered; what it leads to must be durable before the next step. None where nothing is."""
        with self._lock:
            offer, self._offer = self._offer, None
        if offer is None:
            return None
        try:
            return exchange(offer.models)
        except ValueError as error:
            offer.why = str(error)
            return None
        except Exception as error:
            offer.why = f"the exchange broke: {error}"
            raise
        finally:
            offer.settled.set()
