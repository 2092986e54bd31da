"""What a box is made of is written down in full, and every version can be held against known advisories."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.harness.broker import free_port

ROOT = Path(__file__).parents[2]
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)


def script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "scripts" / name, *arguments], capture_output=True, text=True, timeout=250, check=False
    )


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("sbom") / "sbom.cdx.json"
    result = script("sbom", str(file))
    assert result.returncode == 0, result.stderr
    return file.read_text()


def test_the_bill_of_materials_fits_the_schema_of_cyclonedx(bill: str) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None


def test_the_validation_would_see_a_mistake(bill: str) -> None:
    spoilt = bill.replace('"type": "library"', '"type": "librarian"')
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(spoilt) is not None


def test_the_bill_names_what_the_box_installs_in_the_pinned_versions_and_nothing_of_the_workstation(bill: str) -> None:
    document = json.loads(bill)
    listed = {component["name"]: component["version"] for component in document["components"]}
    assert {"msgspec", "cryptography", "paho-mqtt", "pymodbus", "numpy", "cffi"} <= listed.keys()
    assert any(name.startswith("onnxruntime") for name in listed)
    assert not listed.keys() & {"torch", "onnx", "scikit-learn", "pytest", "cyclonedx-bom"}
    assert listed == {name: PINS[name] for name in listed}
    assert document["metadata"]["component"]["name"] == "stethos"
    assert document["metadata"]["component"]["version"]


def test_the_bill_is_the_same_bytes_each_time_and_says_nothing_of_the_machine_it_was_made_on(
    bill: str, tmp_path: Path
) -> None:
    again = tmp_path / "again.json"
    assert script("sbom", str(again)).returncode == 0
    assert again.read_text() == bill
    assert str(ROOT) not in bill
    assert "file:" not in bill


@pytest.fixture
def advisories() -> Iterator[tuple[str, dict[str, list[Any]]]]:
    """A service that speaks as osv.dev does, and what it knows by package; its address."""
    known: dict[str, list[Any]] = {}

    class Service(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps({"vulns": known.get(asked["package"]["name"], [])}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", known
        server.shutdown()
        thread.join(30)


def test_the_audit_asks_about_every_pin_and_passes_where_nothing_is_known(
    advisories: tuple[str, dict[str, list[Any]]],
) -> None:
    result = script("audit", "-s", "osv", "--osv-url", advisories[0])
    assert (result.returncode, result.stderr) == (0, "")
    assert f"any of {len(PINS)} versions" in result.stdout


def test_the_audit_fails_where_a_version_has_an_advisory_and_names_it(
    advisories: tuple[str, dict[str, list[Any]]],
) -> None:
    address, known = advisories
    fixed = {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99"}]}
    known["cbor2"] = [
        {
            "id": "PYSEC-2026-1",
            "modified": "2026-01-01T00:00:00Z",
            "published": "2026-01-01T00:00:00Z",
            "details": "Reads past the end.",
            "affected": [{"package": {"name": "cbor2", "ecosystem": "PyPI"}, "ranges": [fixed]}],
        }
    ]
    result = script("audit", "-s", "osv", "--osv-url", address)
    assert result.returncode == 1
    assert f"cbor2 {PINS['cbor2']}: PYSEC-2026-1, mended in 99" in result.stdout


def test_an_audit_that_nobody_answers_proves_nothing_and_says_so() -> None:
    result = script("audit", "-s", "osv", "--osv-url", f"http://127.0.0.1:{free_port()}")
    assert result.returncode == 3
    assert "nothing is proven" in result.stderr
    assert "run `scripts/audit` where" in result.stderr


def test_an_option_that_does_not_exist_is_bad_usage() -> None:
    assert script("audit", "--no-such-option").returncode == 2
