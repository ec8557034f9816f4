"""What a request comes to, however it ends: its ledger row or its count, its charge against the limits, its figures."""

from dataclasses import dataclass
from types import TracebackType
from typing import Self

from auth.access import Access
from auth.keys import Key
from auth.ledger_row import LedgerRow, new_id
from auth.reservation import Reservation
from auth.usage import NOTHING, UNBOUNDED, Usage
from gateway.answers.relay import Stream
from gateway.config.settings import ModelEntry
from gateway.endpoints.call import Call, Whole
from gateway.http.errors import ApiError
from gateway.http.exchange import CLIENT_GONE, Response
from gateway.request import refusing
from gateway.request.late_counts import LateCounts
from gateway.request.metrics import Metrics
from gateway.request.services import Services
from gateway.request.terms import Terms


@dataclass
class Settlement:
    """One request's account: opened when its key is known, closed once.

    Entering begins it; leaving records the row, whatever the way out: an answer, a refusal, an engine's death, a
    client that left. Where the engine's count has not come by then, the row waits for it behind the client's back. A
    request that the limits have not let in is counted instead, with others like it. A count that cannot be believed is
    none: then the gateway's own stands, and the row says so. What is learned on the way is put into the fields below.

    Attributes:
        row: the ledger's, as far as it is known.
        terms: what it costs, and whether it costs anything without an answer.
        reservation: what the limits have been charged.
        model: what answers, or may: it has been asked.
        most: what its engine can have counted at most.
        stream: the answer on its way, if it is one of events.
        whole: the answer, if it came whole.
        whole_s, queued_s: seconds since the request arrived.
    """

    access: Access
    metrics: Metrics
    late_counts: LateCounts
    response: Response
    row: LedgerRow
    terms: Terms
    reservation: Reservation | None = None
    model: ModelEntry | None = None
    most: Usage = UNBOUNDED
    stream: Stream | None = None
    whole: Whole | None = None
    whole_s: float | None = None
    queued_s: float | None = None

    @classmethod
    def of(cls, services: Services, key: Key, response: Response, terms: Terms) -> Self:
        """Return the account of a request that ``key`` makes."""
        row = LedgerRow(response.exchange.request_id, key.id, key.project, "", id=terms.ledger_id or new_id())
        return cls(services.access, services.metrics, services.late_counts, response, row, terms)

    def identified(self, asked: str, call: Call) -> None:
        """Note what is asked, and what the client says of itself."""
        row = self.row
        row.model_asked, row.streamed, row.user, row.metadata = asked, call.stream, call.user, call.metadata
        self.metrics.begin(asked)

    def admitted(self, reservation: Reservation) -> None:
        """Note that the limits have let the request in; from here on it is in the journal of open requests."""
        self.reservation = reservation
        self.row.prompt_tokens = reservation.estimate.prompt_tokens
        self.access.ledger.begin(self.row)

    def asked(self, model: ModelEntry, most: Usage, replica: str) -> None:
        """Note who is asked, for whoever finds the request in the journal if this process is killed."""
        self.model, self.most = model, most
        self.row.model, self.row.engine, self.row.replica = model.name, model.engine, replica
        self.access.ledger.begin(self.row, model.price, most)

    def refused(self) -> None:
        """Note that whoever was asked has not taken the request."""
        self.model = None
        self.row.model = self.row.engine = self.row.replica = ""

    def answered(self) -> None:
        """Note that whoever was asked answers."""
        self.queued_s = self.response.exchange.elapsed_s()

    def completed(self, answer: Whole) -> None:
        """Note an answer that came whole."""
        self.whole = answer
        self.whole_s = self.response.exchange.elapsed_s()
        self.row.finish_reason = answer.finish_reason

    def streams(self, stream: Stream) -> None:
        """Note the stream that is the answer; how far it has come is journaled, in case this process is killed."""
        self.stream = stream
        self.access.ledger.follow(self.row.id, lambda: stream.tokens)

    def broke_off(self) -> None:
        """Note that the request ends without its answer; a batch's line is then as if no engine had taken it."""
        if self.terms.is_batch:
            self.refused()
            self.stream = self.whole = None

    @property
    def used(self) -> Usage:
        """The engine's count; while it has not come, the estimated prompt and the tokens that were relayed."""
        if self.model is None:
            return NOTHING
        return self._reported or Usage(self.row.prompt_tokens, self._relayed_tokens)

    @property
    def _relayed_tokens(self) -> int:
        answer = self.stream or self.whole
        return min(answer.tokens, self.most.completion_tokens) if answer else 0

    @property
    def _first_token_s(self) -> float | None:
        """Seconds from the request's arrival to its first token, or to its whole answer."""
        if self.stream is None or self.stream.first_event_at is None:
            return self.whole_s
        return self.stream.first_event_at - self.response.exchange.started_at

    @property
    def _reported(self) -> Usage | None:
        answer = self.stream or self.whole
        return self._believed(answer.usage if answer else None)

    def _believed(self, count: Usage | None) -> Usage | None:
        return count if count and count.fits(self.most) else None

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
        status, code = self._outcome(error)
        total_s = self.response.exchange.elapsed_s()
        row = self.row
        row.status, row.error_code = status, code
        row.queued_s, row.ttft_s, row.total_s = self.queued_s, self._first_token_s, total_s
        if self.stream:
            row.finish_reason = self.stream.finish_reason
        if row.model_asked:
            self.metrics.end(
                row.model_asked,
                status=status,
                code=code,
                first_token_s=row.ttft_s if self.stream else None,
                total_s=total_s,
            )
        if not self.terms.is_batch:
            refusing.remember(self.access, row.key_id, error)
        used = self.used
        self.response.facts.update(
            key=row.key_id,
            model=row.model_asked,
            answered_by=row.model,
            replica=row.replica,
            code=code,
            prompt_tokens=used.prompt_tokens,
            cached_tokens=used.cached_tokens,
            completion_tokens=used.completion_tokens,
        )
        if self.model is None or self.whole or self._reported:
            self._record(used, estimated=self.model is not None and not self._reported)
        else:
            self.late_counts.ask(row, self._counted)

    def _counted(self, count: Usage | None) -> None:
        """Take the engine's count of a request that ended before it came; without it, what was relayed stands."""
        count = self._believed(count)
        if count is None or (count == NOTHING and self._relayed_tokens):
            self._record(self.used, estimated=True)
            return
        if self.queued_s is None and count == NOTHING:
            self.refused()  # it waited for its turn until it was given up
            if self.reservation:
                self.reservation.forgive()
        if self.reservation and self.model:
            self.reservation.amend(count, self.model.price)
        self._record(count, estimated=False)

    def _record(self, used: Usage, *, estimated: bool) -> None:
        row = self.row
        row.estimated = estimated
        row.prompt_tokens, row.cached_tokens = used.prompt_tokens, used.cached_tokens
        row.completion_tokens = used.completion_tokens
        row.cost = used.cost(self.model.price) if self.model else 0.0
        if self.reservation or self.terms.is_batch:
            self.access.ledger.record(row)
        else:
            refusing.count(self.access, self.metrics, row)
        if row.model_asked:
            self.metrics.count(row.model_asked, used, estimated=estimated)

    def _outcome(self, error: BaseException | None) -> tuple[int, str | None]:
        if error is None:
            late = self.stream.error if self.stream else None
            return self.response.status, (late.code or late.type) if late else None
        if isinstance(error, ApiError):
            return self.response.status or error.status, error.code or error.type
        return (CLIENT_GONE, None) if not isinstance(error, Exception) else (500, "internal_error")
