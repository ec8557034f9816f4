import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from gateway.cli.greeting import greeting
from gateway.cli.main import app
from gateway.cli.readyz import ModelState
from gateway.config.schema import Config

ECHO = "models: [{name: echo, engine: echo}]\n"
COMMANDS = (["serve"], ["check"], ["config"], ["models"], ["chat"], ["status"], ["version"])
KEY_COMMANDS = (["keys", "create"], ["keys", "list"], ["keys", "revoke"])


class Gateway(BaseHTTPRequestHandler):
    """A gateway as far as ``status`` and ``models`` ask one."""

    readyz: tuple[int, dict[str, Any]]

    def do_GET(self) -> None:
        if self.path == "/readyz":
            self.answer(*self.readyz)
        elif self.headers.get("authorization") == "Bearer sk-good":
            self.answer(200, {"object": "list", "data": [{"id": "echo", "object": "model"}]})
        else:
            self.answer(401, {"error": {"message": "Incorrect API key provided.", "code": "invalid_api_key"}})

    def answer(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def gateway() -> Iterator[str]:
    Gateway.readyz = (200, {"status": "ready", "models": {"echo": {"state": "ready", "detail": None}}})
    with ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as server:
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def cli(tmp_path: Path) -> CliRunner:
    return CliRunner(env={"RAYGATE_HOME": str(tmp_path / "home"), "RAYGATE_API_KEY": "", "COLUMNS": "120"})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "raygate.yaml"
    path.write_text(ECHO)
    return path


@pytest.mark.parametrize("command", [*COMMANDS, *KEY_COMMANDS], ids=" ".join)
def test_each_command_shows_an_example(cli: CliRunner, command: list[str]) -> None:
    shown = cli.invoke(app, [*command, "--help"])
    assert shown.exit_code == 0
    assert f"raygate {' '.join(command)}" in shown.output


def test_check_passes_a_file_without_mistakes(cli: CliRunner, file: Path) -> None:
    result = cli.invoke(app, ["check", str(file)])
    assert (result.exit_code, result.output) == (0, f"{file}: no mistakes, models: echo\n")


def test_check_names_each_mistake_by_line(cli: CliRunner, file: Path) -> None:
    file.write_text("models:\n  - name: a\n    engine: ech\ndefault_model: b\n")
    result = cli.invoke(app, ["check", str(file)])
    assert result.exit_code == 2
    assert [line.split(": ")[0] for line in result.stderr.splitlines()] == [f"{file}:3:5", f"{file}:4:1"]


def test_check_warns_of_a_limit_whose_pattern_no_model_or_alias_has(cli: CliRunner, file: Path) -> None:
    file.write_text("models:\n  - {name: echo, engine: echo}\n  - {name: voice, route: [{model: echo}]}\n")
    assert cli.invoke(app, ["projects", "create", "lab", "--limit", "requests/day=9@ech?"]).exit_code == 0
    limits = ["--limit", "requests/minute=3@voice", "--limit", "money/month=1@gpt-*"]
    assert cli.invoke(app, ["keys", "create", "alice", "--project", "lab", *limits]).exit_code == 0
    result = cli.invoke(app, ["check", str(file)])
    [warning] = result.stderr.splitlines()
    assert warning.startswith("warning: alice (key_")
    assert warning.endswith("): money/month=1@gpt-* bounds nothing: no model or alias is called 'gpt-*'.")
    assert result.exit_code == 0


def test_check_says_so_when_the_database_cannot_tell_its_limits(cli: CliRunner, file: Path, tmp_path: Path) -> None:
    (tmp_path / "other.db").write_bytes(b"no database, and longer than a header would be" * 9)
    file.write_text(ECHO + f"database_url: sqlite:///{tmp_path}/other.db\n")
    result = cli.invoke(app, ["check", str(file)])
    assert result.stderr == "warning: The limits in the database were not looked at: DatabaseError.\n"
    assert result.exit_code == 0


def test_config_prints_ray_serves_own(cli: CliRunner, file: Path) -> None:
    printed = yaml.safe_load(cli.invoke(app, ["config", str(file), "--serve"]).output)
    assert [application["name"] for application in printed["applications"]] == ["gateway", "model-echo"]


def test_config_prints_every_default(cli: CliRunner, file: Path) -> None:
    printed = yaml.safe_load(cli.invoke(app, ["config", str(file)]).output)
    assert printed["gateway"]["bounds"]["max_messages"] == 2048


def test_serve_refuses_a_file_with_mistakes_before_anything_starts(cli: CliRunner, file: Path) -> None:
    file.write_text("models: []\n")
    result = cli.invoke(app, ["serve", str(file)])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"{file}:1:1: models: got []")


def test_serve_refuses_a_port_in_use_in_one_line(cli: CliRunner, file: Path, gateway: str) -> None:
    port = gateway.rsplit(":", 1)[1]
    result = cli.invoke(app, ["serve", str(file), "--host", "127.0.0.1", "--port", port])
    assert result.exit_code == 2
    expected = f"cannot listen on 127.0.0.1 port {port}: another program uses it; choose another with --port\n"
    assert result.stderr == expected


def test_a_key_is_made_listed_and_revoked(cli: CliRunner) -> None:
    made = json.loads(cli.invoke(app, ["keys", "create", "alice", "--json"]).output)
    assert made["secret"].startswith("sk-")
    listed = cli.invoke(app, ["keys", "list", "--json"]).output
    assert [key["name"] for key in json.loads(listed)] == ["alice"]
    assert made["secret"] not in listed
    assert cli.invoke(app, ["keys", "revoke", "alice"]).exit_code == 0
    assert json.loads(cli.invoke(app, ["keys", "list", "--json"]).output)[0]["state"] == "revoked"


def test_a_database_that_does_not_answer_is_one_line(cli: CliRunner, file: Path) -> None:
    file.write_text(ECHO + "database_url: postgresql://raygate@127.0.0.1:1/raygate\n")
    result = cli.invoke(app, ["keys", "list", "--config", str(file)])
    assert result.exit_code == 2
    assert result.stderr.startswith("the database cannot be used: ")
    assert len(result.stderr.splitlines()) == 1


def test_a_key_that_is_not_there_is_a_mistake(cli: CliRunner) -> None:
    result = cli.invoke(app, ["keys", "revoke", "nobody"])
    assert (result.exit_code, result.stderr) == (2, "no key 'nobody'\n")


def test_status_is_success_when_every_model_is_ready(cli: CliRunner, gateway: str) -> None:
    result = cli.invoke(app, ["status", "--base-url", gateway])
    assert result.exit_code == 0
    assert result.output.split() == ["MODEL", "STATE", "DETAIL", "echo", "ready"]


def test_status_says_why_a_model_is_not_ready(cli: CliRunner, gateway: str) -> None:
    models = {"echo": {"state": "failed", "detail": "no weights in the folder"}}
    Gateway.readyz = (503, {"status": "failed", "models": models})
    result = cli.invoke(app, ["status", "--base-url", gateway])
    assert result.exit_code == 1
    assert "no weights in the folder" in result.output


def test_status_says_what_is_degraded(cli: CliRunner, gateway: str) -> None:
    models = {"echo": {"state": "ready", "detail": None}}
    Gateway.readyz = (200, {"status": "degraded", "detail": "the key store does not answer", "models": models})
    result = cli.invoke(app, ["status", "--base-url", gateway])
    assert result.exit_code == 0
    assert result.output.splitlines()[-1] == "degraded: the key store does not answer"


def test_status_without_a_gateway_is_one_line(cli: CliRunner) -> None:
    result = cli.invoke(app, ["status", "--base-url", "http://127.0.0.1:1"])
    assert result.exit_code == 1
    assert result.stderr.startswith("nothing answers at http://127.0.0.1:1/readyz: ")


def test_models_lists_what_the_key_may_use(cli: CliRunner, gateway: str) -> None:
    result = cli.invoke(app, ["models", "--base-url", gateway, "--api-key", "sk-good"])
    assert (result.exit_code, result.output) == (0, "echo\n")


def test_models_with_a_wrong_key_says_so(cli: CliRunner, gateway: str) -> None:
    result = cli.invoke(app, ["models", "--base-url", gateway, "--api-key", "sk-bad"])
    assert (result.exit_code, result.stderr) == (1, "Incorrect API key provided.\n")


def test_chat_without_a_key_says_how_to_get_one(cli: CliRunner) -> None:
    result = cli.invoke(app, ["chat", "Hello"])
    assert result.exit_code == 2
    assert "raygate keys create NAME" in result.stderr


def test_the_greeting_shows_a_new_key_once_and_a_line_to_paste() -> None:
    config = Config.model_validate({"models": [{"name": "echo", "engine": "echo"}]})
    text = greeting(config, "http://127.0.0.1:8000", [ModelState("echo", "ready", "")], "sk-new")
    assert "Base URL  http://127.0.0.1:8000/v1" in text
    assert "API key   sk-new  (shown only this once)" in text
    assert 'curl http://127.0.0.1:8000/v1/chat/completions -H "Authorization: Bearer sk-new"' in text


def test_the_greeting_says_where_grpc_is_once_it_is_on() -> None:
    config = Config.model_validate({"models": [{"name": "echo", "engine": "echo"}], "gateway": {"grpc_port": 9000}})
    text = greeting(config, "http://127.0.0.1:8000", [ModelState("echo", "ready", "")], None)
    assert "gRPC      127.0.0.1:9000" in text


def test_the_greeting_names_a_model_that_failed_with_its_cause() -> None:
    config = Config.model_validate({"models": [{"name": n, "engine": "echo"} for n in ("a", "b")]})
    states = [ModelState("a", "failed", "no weights"), ModelState("b", "ready", "")]
    text = greeting(config, "http://127.0.0.1:8000", states, None)
    assert "Failed    a: no weights" in text
    assert '"model": "b"' in text
    assert "Bearer $RAYGATE_API_KEY" in text
