"""The proxy that the environment sets for an origin."""

import ipaddress
import urllib.request
from urllib.parse import urlsplit

from secoda_async.config import is_loopback
from secoda_async.errors import ConfigurationError


def environment_proxy(origin: str) -> str | None:
    """Return the URL of the proxy for an origin, or None.

    `HTTPS_PROXY` comes before `ALL_PROXY`; `NO_PROXY` excludes names, suffixes, addresses and networks. A loopback
    address is never reached through a proxy: plain HTTP is allowed there, and would show the key to the proxy.

    Raises:
        ConfigurationError: When the proxy is not an http(s) URL.
    """
    parts = urlsplit(origin)
    host = parts.hostname or ""
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or is_loopback(host):
        return None
    if urllib.request.proxy_bypass(parts.netloc) or _is_excluded(host, proxies.get("no", "")):
        return None
    url = proxy if "://" in proxy else f"http://{proxy}"
    if not _is_usable(url):
        raise ConfigurationError(
            f"the environment's proxy for {parts.scheme} is not an http(s) URL: set HTTPS_PROXY to http://host:port"
        )
    return url


def _is_excluded(host: str, no_proxy: str) -> bool:
    """Return whether `NO_PROXY` excludes a host in a form that urllib does not know: `*.corp`, `10.0.0.0/8`, `::1`."""
    for entry in no_proxy.lower().split(","):
        pattern = entry.strip()
        if pattern.startswith("*.") and host.endswith(pattern[1:]):
            return True
        try:
            if ipaddress.ip_address(host) in ipaddress.ip_network(pattern.strip("[]"), strict=False):
                return True
        except ValueError:  # the host or the pattern is a name
            continue
    return False


def _is_usable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
