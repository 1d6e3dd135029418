"""Asking servers patiently: what may pass is tried again, what may not is said in one line."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlsplit

import requests
from tqdm import tqdm

from helpers.support.config import shown
from helpers.support.errors import InputError, plain
from helpers.support.files import parse_json

LARGEST_ANSWER = 64 << 20  # bytes of metadata
T = TypeVar("T")


class TryAgain(Exception):
    """A try failed in a way that may pass. `wait`: seconds the server asked for."""

    def __init__(self, what: str, wait: float = 0.0):
        super().__init__(what)
        self.wait = wait


@dataclass(frozen=True)
class Network:
    """Where to ask and how patiently; times in seconds. Mirrors can be named in the environment."""

    zenodo: str = field(default_factory=lambda: os.environ.get("ZENODO_ENDPOINT", "https://zenodo.org"))
    hugging_face: str = field(default_factory=lambda: os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    tries: int = 5  # in a row without getting `headway` further
    headway: int = 2**20  # bytes
    wait: float = 1.0  # before the second try; doubles each time
    longest_wait: float = 60.0
    chunk: int = 2**16  # bytes read at a time: at most this much is lost when a connection is cut

    @contextlib.contextmanager
    def request(self, url: str, headers: dict[str, str]) -> Iterator[requests.Response]:
        """Yield the streamed answer, also while its body is read; every failure is TryAgain or InputError."""
        headers = {"Accept-Encoding": "identity"} | headers  # so that lengths count the file's own bytes
        timeout = (self.connect_timeout, self.read_timeout)
        try:
            host = urlsplit(url).netloc
            with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
                self._check_status(response, host)
                yield response
        except InputError:
            raise
        except (ValueError, requests.exceptions.TooManyRedirects) as error:  # no address, or no http
            raise InputError(f"{shown(url)} leads to a refused address; try again later.") from error
        except requests.exceptions.SSLError as error:
            raise InputError(f"no secure connection to {host}; check the clock and the proxy.") from error
        except requests.RequestException as error:
            if "Max retries" in str(error):  # how the library words "no connection was made"
                raise TryAgain(f"{host} cannot be reached") from error
            if "timed out" in str(error):
                raise TryAgain(f"{host} stalled: nothing came for {self.read_timeout:g} s") from error
            raise TryAgain(f"{host} cut the connection") from error

    def _check_status(self, response: requests.Response, host: str) -> None:
        status = response.status_code
        if status in (200, 206, 416):
            return
        if status == 429:
            asked = response.headers.get("Retry-After", "")
            wait = float(asked) if asked.isdigit() else 0.0
            raise TryAgain(f"{host} limits how often one may ask (429)", wait)
        url = response.url.partition("?")[0]  # without the long signature of a storage server
        if status == 408 or status >= 500:
            raise TryAgain(f"{host} is out of order or busy ({status})")
        if status in (401, 403, 404, 410):
            raise InputError(f"{url} is gone or not public ({status}); look for it in a browser.")
        raise InputError(f"{host} answered {status} for {url}; try again later.")

    def persist(self, attempt: Callable[[], T], advice: str, reached: Callable[[], int] = lambda: 0) -> T:
        """Return `attempt()`, tried again after TryAgain; `reached()` tells how many bytes have arrived."""
        failures, furthest = 0, reached()
        while True:
            try:
                return attempt()
            except TryAgain as error:
                failures += 1
                if reached() >= furthest + self.headway:
                    failures, furthest = 1, reached()
                pause = max(error.wait, min(self.wait * 2 ** (failures - 1), self.longest_wait))
                if failures >= self.tries or pause > self.longest_wait:
                    later = f" It asks to wait {error.wait:g} s." if error.wait else ""
                    raise InputError(f"{error} (tries in a row: {failures}).{later} {advice}") from error
                tqdm.write(plain(f"{error}; trying again in {pause:g} s"))
                time.sleep(pause)

    def json(self, url: str) -> tuple[object, str | None]:
        """The JSON at `url`, and the address of the next page if the answer has one."""

        def attempt() -> tuple[bytes, str | None]:
            with self.request(url, {}) as response:
                body = bytearray()
                for data in response.iter_content(self.chunk):
                    body += data
                    if len(body) > LARGEST_ANSWER:
                        raise InputError(f"{url} answers without end; try again later.")
                return bytes(body), response.links.get("next", {}).get("url")

        body, following = self.persist(attempt, "Check the network and run the command again.")
        try:
            return parse_json(body), following
        except ValueError as error:
            raise InputError(
                f"{url} gave no metadata (a sign-in page of this network?); open it in a browser."
            ) from error
