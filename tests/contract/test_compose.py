"""The Compose file of the examples: its commands, files, ports and health checks."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from secoda_async.cli.app import app

if TYPE_CHECKING:
    from secoda_async.cli.emulator_options import Server

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
COMPOSE: dict[str, Any] = yaml.safe_load((EXAMPLES / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]


def test_compose_has_redis_the_emulator_and_the_service() -> None:
    assert list(SERVICES) == ["redis", "emulator", "service"]
    assert {name: service.get("image") for name, service in SERVICES.items()} == {
        "redis": "redis:7-alpine",
        "emulator": None,  # built from the Dockerfile beside the file
        "service": "python:3.13-slim",
    }
    assert SERVICES["emulator"]["build"] == "."


@pytest.mark.parametrize("name", SERVICES)
def test_compose_service_has_a_health_check_and_publishes_to_this_machine_only(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert set(service.get("depends_on", ())) <= set(SERVICES)


def test_compose_starts_the_emulator_with_options_that_exist() -> None:
    command, bound, _ = app.parse_args(SERVICES["emulator"]["command"], exit_on_error=False, print_error=False)
    assert command.__name__ == "emulator_command"
    server: Server = bound.arguments["server"]
    assert (server.host, server.port, server.api_key) == ("0.0.0.0", 8080, "local-key")
    (volume,) = SERVICES["emulator"]["volumes"]
    folder = volume.partition(":")[2]
    assert server.state == Path(folder) / "workspace.json"
    assert f"WORKDIR {folder}" in (EXAMPLES / "Dockerfile").read_text("utf-8")


def test_compose_service_reaches_the_emulator_on_loopback() -> None:
    service = SERVICES["service"]
    assert service["network_mode"] == "service:emulator"
    assert service["environment"] == {"SECODA_BASE_URL": "http://127.0.0.1:8080", "SECODA_API_KEY": "local-key"}
    assert "ports" not in service
    assert "127.0.0.1:8082:8082" in SERVICES["emulator"]["ports"]
    (mount,) = service["volumes"]
    assert (EXAMPLES / mount.partition(":")[0]).is_file()
    script = (EXAMPLES / "fastapi_service.py").read_text("utf-8")
    assert all(f'"{option}"' in script for option in ("--host", "--port") if option in service["command"][-1])
