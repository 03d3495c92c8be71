"""A client of Foreshadow, predictive warm pools.

>>> from foreshadow import Client
>>> with Client("127.0.0.1:7070") as client, client.lease("notebook", user="ada") as lease:
...     print(lease.address)
"""

from foreshadow.aio import AsyncClient, AsyncLease
from foreshadow.client import Client, Lease
from foreshadow.errors import (
    Changed,
    DeadlineExceeded,
    Exhausted,
    ForeshadowError,
    InvalidRequest,
    KeyMisused,
    NotFound,
    NotGranted,
    PermissionDenied,
    Refused,
    Unauthenticated,
    Unavailable,
)
from foreshadow.models import Allocation, Forecast, Reported, Sample, State
from foreshadow.requests import Ask, Requirements

__all__ = [
    "Allocation",
    "Ask",
    "AsyncClient",
    "AsyncLease",
    "Changed",
    "Client",
    "DeadlineExceeded",
    "Exhausted",
    "Forecast",
    "ForeshadowError",
    "InvalidRequest",
    "KeyMisused",
    "Lease",
    "NotFound",
    "NotGranted",
    "PermissionDenied",
    "Refused",
    "Reported",
    "Requirements",
    "Sample",
    "State",
    "Unauthenticated",
    "Unavailable",
]
