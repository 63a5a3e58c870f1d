"""One real API per test file, from `tests.sdk.served`."""

from tests.sdk.served import api_url, client, home

__all__ = ["api_url", "client", "home"]
