"""What a request comes to, however it ends: its ledger row, its charge against the limits, its figures."""

from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from auth.access import Access
from auth.keys import Key
from auth.ledger_row import LedgerRow, new_id
from auth.reservation import Reservation
from auth.usage import NOTHING, Usage
from gateway.call import Call, Whole
from gateway.errors import ApiError
from gateway.exchange import Response
from gateway.metrics import Metrics
from gateway.relay import Stream
from gateway.settings import ModelEntry
from gateway.terms import Terms

CLIENT_GONE = 499
"""For the ledger and the log alone (nginx's number): the client left before its answer."""


@dataclass
class Settlement:
    """One request's account: opened when its key is known, closed once.

    Entering begins it; leaving records the row, whatever the way out: an answer, a refusal, an engine's death, a
    client that left. What is learned on the way is put into the fields below.

    Attributes:
        row: the ledger's, as far as it is known.
        terms: what it costs, and whether it costs anything without an answer.
        estimate: what was reserved at admission.
        model, replica: what answered.
        stream: the answer on its way, if it is one of events.
        usage: the engine's own count.
        first_token_s, queued_s: seconds since the request arrived.
    """

    access: Access
    metrics: Metrics
    response: Response
    row: LedgerRow
    terms: Terms
    estimate: Usage | None = None
    model: ModelEntry | None = None
    replica: str = ""
    stream: Stream | None = None
    usage: Usage | None = None
    first_token_s: float | None = None
    queued_s: float | None = None

    @classmethod
    def of(cls, access: Access, metrics: Metrics, key: Key, response: Response, terms: Terms) -> Self:
        """Return the account of a request that ``key`` makes."""
        row = LedgerRow(response.exchange.request_id, key.id, key.project, "", id=terms.ledger_id or new_id())
        return cls(access, metrics, response, row, terms)

    def identified(self, asked: str, call: Call) -> None:
        """Note what is asked, and what the client says of itself."""
        self.row = replace(self.row, model_asked=asked, streamed=call.stream, user=call.user, metadata=call.metadata)
        self.metrics.begin(asked)

    def admitted(self, estimate: Usage) -> None:
        """Note that the limits have let the request in; from here on it is in the journal of open requests."""
        self.estimate = estimate
        self.row = replace(self.row, prompt_tokens=estimate.prompt_tokens)
        self.access.ledger.begin(self.row)

    def answered(self, model: ModelEntry, replica: str) -> None:
        """Note that an engine has taken the request."""
        self.model, self.replica, self.queued_s = model, replica, self.response.exchange.elapsed_s()

    def completed(self, answer: Whole) -> None:
        """Note an answer that came whole."""
        self.usage = answer.usage
        self.first_token_s = self.response.exchange.elapsed_s()
        self.row = replace(self.row, finish_reason=answer.finish_reason)

    def progressed(self, stream: Stream) -> None:
        """Note how far a stream has come, for whoever recovers the journal if this process is killed."""
        if self.first_token_s is None:
            self.first_token_s = self.response.exchange.elapsed_s()
        self.access.ledger.progress(self.row.id, stream.tokens)

    def broke_off(self) -> None:
        """Note that the request ends without its answer; a batch's line is then as if no engine had taken it."""
        if self.terms.is_batch:
            self.model = self.stream = self.usage = None

    @property
    def used(self) -> Usage:
        """The engine's count; where it never came, the estimated prompt and the tokens that were relayed."""
        reported = self.stream.usage if self.stream else self.usage
        if reported or self.model is None or self.estimate is None:
            return reported or NOTHING
        return Usage(self.estimate.prompt_tokens, self.stream.tokens if self.stream else 0)

    def charge(self, reservation: Reservation) -> None:
        """Settle the reservation; a request that no engine has taken costs nothing."""
        if self.model is None:
            reservation.cancel()
        else:
            reservation.settle(self.used, self.model.price)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        used = self.used
        status, code = self._outcome(error)
        total_s = self.response.exchange.elapsed_s()
        row = replace(
            self.row,
            model=self.model.name if self.model else "",
            engine=self.model.engine if self.model else "",
            replica=self.replica,
            prompt_tokens=used.prompt_tokens,
            cached_tokens=used.cached_tokens,
            completion_tokens=used.completion_tokens,
            cost=used.cost(self.model.price) if self.model else 0.0,
            status=status,
            error_code=code,
            finish_reason=self.stream.finish_reason if self.stream else self.row.finish_reason,
            queued_s=self.queued_s,
            ttft_s=self.first_token_s,
            total_s=total_s,
        )
        self.access.ledger.record(row)
        if row.model_asked:
            self.metrics.end(
                row.model_asked,
                status=status,
                code=code,
                usage=used,
                first_token_s=self.first_token_s if self.stream else None,
                total_s=total_s,
            )
        self.response.facts.update(
            key=row.key_id,
            model=row.model_asked,
            answered_by=row.model,
            replica=row.replica,
            code=code,
            prompt_tokens=row.prompt_tokens,
            completion_tokens=row.completion_tokens,
        )

    def _outcome(self, error: BaseException | None) -> tuple[int, str | None]:
        if error is None:
            late = self.stream.error if self.stream else None
            return self.response.status, (late.code or late.type) if late else None
        if isinstance(error, ApiError):
            return self.response.status or error.status, error.code or error.type
        return (CLIENT_GONE, None) if not isinstance(error, Exception) else (500, "internal_error")
