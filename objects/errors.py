"""What can be wrong with a request for an object."""


class ObjectError(Exception):
    """The base of them all."""


class NoSuchObject(ObjectError):
    """There is no such object, or it is another project's."""


class InUse(ObjectError):
    """The object cannot change while something else needs it as it is."""


class NotInBackground(ObjectError):
    """Only a response that runs in the background can be cancelled."""


class QuotaExceeded(ObjectError):
    """The project's files would take more than it may have.

    Attributes:
        quota: bytes.
    """

    def __init__(self, quota: int) -> None:
        super().__init__(f"the project's files may have {quota} bytes")
        self.quota = quota


class StorageFailed(ObjectError):
    """The storage does not answer, or not as it should."""


class TooMany(ObjectError):
    """The project has as many of them as it may have.

    Attributes:
        most: how many that is.
    """

    def __init__(self, most: int) -> None:
        super().__init__(f"the project may have {most} of them")
        self.most = most


class Deposed(ObjectError):
    """Another gateway replica runs the batches now."""
