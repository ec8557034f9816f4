"""The table: files. Their bytes are elsewhere, in a ``Storage``."""

from sqlalchemy import BigInteger, Double, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from auth.tables import Base

FILENAME_LENGTH = 255


class FileRow(Base):
    """A file, or one that is being uploaded. Its ids rise with time, so that they are the cursors of lists.

    ``stored_at`` is empty until every byte is there; until then ``bytes`` is what the upload has claimed of the quota.
    """

    __tablename__ = "files"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(40))
    filename: Mapped[str] = mapped_column(String(FILENAME_LENGTH))
    purpose: Mapped[str] = mapped_column(String(40))
    bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[float] = mapped_column(Double)
    stored_at: Mapped[float | None] = mapped_column(Double)
    expires_at: Mapped[float | None] = mapped_column(Double)

    __table_args__ = (Index("files_of_project", "project_id", "id"), Index("files_by_expiry", "expires_at"))
