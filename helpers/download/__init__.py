"""Public weights, fetched from where their makers published them."""

from helpers.download.fetch import available, download
from helpers.download.network import Network

__all__ = ["Network", "available", "download"]
