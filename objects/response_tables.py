"""The table: responses."""

from sqlalchemy import Double, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from auth.tables import Base


class ResponseRow(Base):
    """A response. Its ids rise with time. ``body`` and ``input`` are JSON; times are seconds since the epoch.

    ``input`` is what this turn has added to the conversation; ``turns`` counts it and all before it. ``gateway`` runs
    the response in the background; it is empty once that has ended, and where a client waits for the answer itself.
    """

    __tablename__ = "responses"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(40))
    key_id: Mapped[str] = mapped_column(String(40))
    created_at: Mapped[float] = mapped_column(Double)
    expires_at: Mapped[float] = mapped_column(Double)
    status: Mapped[str] = mapped_column(String(16))
    body: Mapped[str] = mapped_column(Text)
    input: Mapped[str] = mapped_column(Text)
    previous_id: Mapped[str | None] = mapped_column(String(40), index=True)
    turns: Mapped[int] = mapped_column(Integer)
    gateway: Mapped[str | None] = mapped_column(String(128), index=True)

    __table_args__ = (Index("responses_of_project", "project_id", "id"), Index("responses_by_expiry", "expires_at"))
