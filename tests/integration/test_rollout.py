"""Bundles of a running pipeline exchanged, compared, refused and gone back from, with real models and a real store."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.bundles.store import locked_store, read_store
from agent.config.check import check
from agent.decide.baseline import Baseline, ChannelBaseline
from agent.decide.calibration import Calibration
from agent.decide.commissioning import Commissioning, Correction, encode
from agent.errors import BundleError, ConfigError
from agent.trust import root
from tests.harness.agent_folder import KEY, contract
from tests.harness.box import CONTRACT, Box, bundle
from tests.harness.broker import wait_until
from tests.harness.commissioned import commissioning

# Whatever is louder than a whisper is an alarm to it.
TOUCHY = Calibration(
    threshold=0.5,
    rate_per_hour=1e-9,
    shape=0.0,
    scale=0.01,
    body_scores=[0.1, 0.5],
    body_rates=[60.0, 1e-9],
    hours=500.0,
    clusters=100,
)
LONG = '[bundles.probation]\nlasts = "1h"\n'
SHORT = '[bundles.probation]\nlasts = "1s"\nwindows = 10\n'


def told(report) -> tuple[str, str | None, str | None]:
    return report.running.version, report.other and report.other.version, report.trial


def test_the_first_bundle_of_a_name_runs_and_check_names_it(tmp_path: Path) -> None:
    box = Box(tmp_path)
    checked = check(box.config, list)
    assert checked.machines["one"].bundle.manifest.version == "1.0"
    assert checked.machines["one"].session is checked.machines["two"].session
    with box.running() as running:
        assert told(running.report) == ("1.0", None, None)
        assert running.report.machines == ["one", "two"]


def test_a_name_that_the_store_does_not_have_is_a_problem_with_a_remedy(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.config.write_text(box.config.read_text().replace('bundle = "pump"', 'bundle = "pmup"'))
    with pytest.raises(ConfigError, match=r"there is no bundle 'pmup' in the store \(`stethos bundle install` it"):
        check(box.config, list)


def test_an_exchange_under_load_loses_no_sample_no_window_and_no_alarm(tmp_path: Path) -> None:
    box = Box(tmp_path, LONG)
    with box.running() as running:
        running.feed(20)
        running.feed(5, level=4)
        standing = running.pipeline.machines["one"].alarms.standing
        assert [alarm.point for alarm in standing] == ["model"]
        assert told(running.ask("bundle.install", file=str(box.file(bundle(2))))) == ("1.0", "2.0", None)
        windows = running.pipeline.report().counters["windows_scored"]
        assert told(running.ask("bundle.activate", bundle="pump")) == ("2.0", "1.0", "probation")
        assert running.pipeline.machines["one"].alarms.standing == standing, "the alarm lives on"
        running.feed(20)
        assert running.pipeline.machines["one"].alarms.standing == [], "and the new model ends it"
        assert running.sent == 4_500
        books = running.books()
        assert books["samples"] == (9_000, 0)
        assert books["windows"][1] == 0
        # 2,000 samples of two machines, a window each 16
        assert running.pipeline.report().counters["windows_scored"] - windows == 2 * 125
        ended = [e for commit in running.commits for e in commit.messages if b'"type":"end"' in e.payload]
        assert len(ended) == 2
        assert all(b'"version":"2.0"' in each.payload for each in ended), "judged by the new bundle"
        running.wait_events("bundle_installed", "bundle_activated")
        assert running.security[1]["by"] == "Meier"
        assert running.security[1]["bundle"]["version"] == "2.0"


def test_other_windows_take_over_the_samples_that_are_held(tmp_path: Path) -> None:
    box = Box(tmp_path, LONG)
    other = msgspec.structs.replace(CONTRACT, window=64, hop=8)
    with box.running() as running:
        running.feed(3.33)
        running.ask("bundle.install", file=str(box.file(bundle(2, contract=other))))
        assert told(running.ask("bundle.activate", bundle="pump")) == ("2.0", "1.0", "probation")
        running.feed(3.33)
        books = running.books()
        assert books["samples"] == (2 * running.sent, 0)
        assert books["windows"][1] == 0
        assert running.pipeline.report().counters["windows_unknown"] == 0


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (contract(("x", "[g]"), ("z", "[g]")), "the model lacks z and has no use for node.y"),
        (contract(("x", "[g]"), ("y", "m/s2")), "'node.y' is in '[g]', the model was trained on 'm/s2'"),
    ],
)
def test_other_channels_are_refused_when_they_are_installed(tmp_path: Path, other, why: str) -> None:
    box = Box(tmp_path)
    with box.running() as running:
        assert why in running.ask("bundle.install", file=str(box.file(bundle(2, contract=other))))
        running.wait_events("bundle_refused")
        assert told(running.report) == ("1.0", None, None)


def test_another_rate_is_refused_while_the_agent_runs_and_taken_while_it_does_not(tmp_path: Path) -> None:
    box = Box(tmp_path)
    slower = bundle(2, contract=msgspec.structs.replace(CONTRACT, rate_hz=50.0))
    with box.running() as running:
        assert told(running.ask("bundle.install", file=str(box.file(slower)))) == ("1.0", "2.0", None)
        refusal = running.ask("bundle.activate", bundle="pump")
        assert "it is of 50 Hz, the bundle that runs is of 100 Hz: stop the agent, activate it" in refusal
        running.feed(1)
        assert told(running.report) == ("1.0", "2.0", None)
    box.offline(lambda store: store.activate("pump"))
    with box.running() as running:
        assert told(running.report) == ("2.0", "1.0", "probation")
        running.wait_events("bundle_activated")
        assert running.security[0]["by"] == "Meier"


REFUSED = {
    "no bundle": (lambda: b"PK", "cut short"),
    "another's key": (lambda: bundle(2, key=Ed25519PrivateKey.generate()), "signed"),
    "golden vectors": (lambda: bundle(2, golden_error=0.5), "misses its golden vectors"),
    "the one that runs": (lambda: bundle(1), "is the bundle that runs"),
    "a name that is no file's": (lambda: bundle(2, name="../pump"), "cannot be kept"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_refused_bundle_leaves_what_runs_running_and_is_told_of(tmp_path: Path, kind: str) -> None:
    make, why = REFUSED[kind]
    box = Box(tmp_path)
    with box.running() as running:
        assert why in running.ask("bundle.install", file=str(box.file(make())))
        running.feed(1)
        assert told(running.report) == ("1.0", None, None)
        running.wait_events("bundle_refused")
        assert why in running.security[0]["what"]
        wait_until(lambda: bool(running.bundles.rollout.status.reasons), 30, "a reason in health")
        assert why in running.bundles.rollout.status.reasons[0].what
        journal = [entry for commit in running.commits for entry in commit.journal]
        assert b'"kind":"security"' in journal[0]
        assert b'"by":"Meier"' in journal[0]


def test_a_file_that_is_not_there_is_an_answer_and_no_event(tmp_path: Path) -> None:
    with Box(tmp_path).running() as running:
        assert "cannot be read: No such file" in running.ask("bundle.install", file="/nowhere.stethos")
        assert running.events == []


def test_an_older_release_is_taken_on_probation_and_not_once_a_newer_one_was_good(tmp_path: Path) -> None:
    box = Box(tmp_path, SHORT, first=bundle(5))
    with box.running() as running:
        assert "an older release is not taken" in running.ask("bundle.install", file=str(box.file(bundle(4))))
        running.ask("bundle.install", file=str(box.file(bundle(6))))
        running.ask("bundle.activate", bundle="pump")
        assert read_store(tmp_path / "state").memory().highest("pump") == 5
        running.feed(10)
        wait_until(lambda: running.report.trial is None, 30, "the end of the probation")
        running.wait_events("bundle_confirmed")
        assert read_store(tmp_path / "state").memory().highest("pump") == 6
        assert told(running.ask("bundle.rollback", bundle="pump", comment="worse")) == ("5.0", "6.0", None)
        assert read_store(tmp_path / "state").memory().highest("pump") == 5, "somebody wanted the older one"
        wait_until(lambda: running.report.other.barred == "worse", 30, "the reason of the one that asked")


def test_a_storm_of_alarms_is_gone_back_from_and_does_not_come_again_by_itself(tmp_path: Path) -> None:
    inbox = '[bundles]\ninbox = "inbox"\n[bundles.probation]\nalarms = 4\n'
    box = Box(tmp_path, inbox)
    with box.running() as running:
        running.feed(10)
        (box.folder / "inbox" / "two.stethos").write_bytes(bundle(2, calibration=TOUCHY))
        wait_until(lambda: told(running.report) == ("2.0", "1.0", "probation"), 30, "the newcomer runs")
        for _ in range(6):
            running.feed(2, level=3)
            running.feed(2, level=0.1)
        wait_until(lambda: told(running.report) == ("1.0", "2.0", None), 30, "it is gone back from")
        running.wait_events("bundle_returned")
        assert "alarms in 1 min, 4 is the most" in running.security[-1]["what"]
        assert "alarms in 1 min" in running.report.other.barred
        assert any("does not run" in reason.what for reason in running.bundles.rollout.status.reasons)
        (box.folder / "inbox" / "again.stethos").write_bytes(bundle(2, calibration=TOUCHY))
        aside = box.folder / "inbox" / "refused" / "again.stethos.refused"
        wait_until(lambda: aside.exists() and "is barred" in aside.read_text(), 30, "the same file is refused")
        assert told(running.report) == ("1.0", "2.0", None)
        assert told(running.ask("bundle.activate", bundle="pump")) == ("2.0", "1.0", "probation"), "by hand it runs"
        assert running.books()["samples"][1] == 0


def test_a_newcomer_that_is_too_slow_is_gone_back_from(tmp_path: Path) -> None:
    box = Box(tmp_path, '[bundles.probation]\nlatency = "0.001ms"\n')
    with box.running() as running:
        running.ask("bundle.install", file=str(box.file(bundle(2))))
        running.ask("bundle.activate", bundle="pump")
        running.feed(10)
        wait_until(lambda: told(running.report) == ("1.0", "2.0", None), 30, "it is gone back from")
        running.wait_events("bundle_returned")
        assert "ms a window, 0.001 ms is the most" in running.security[-1]["what"]


def test_a_candidate_is_compared_on_live_windows_and_promoted_by_its_bounds(tmp_path: Path) -> None:
    box = Box(tmp_path, "[bundles.promote]\nwindows = 200\nlatency = 1000.0\n", LONG)
    with box.running() as running:
        running.ask("bundle.install", file=str(box.file(bundle(2))))
        assert told(running.ask("bundle.shadow", bundle="pump")) == ("1.0", "2.0", "shadow")
        running.feed(10)
        scored = running.pipeline.report().counters["windows_scored"]
        wait_until(lambda: running.report.compared.windows == scored, 30, "all windows compared")
        compared = running.report.compared
        assert (compared.agreement, compared.dropped, compared.failures) == (1.0, 0, 0)
        assert compared.correlation == pytest.approx(1.0), "the same model gives the same scores"
        assert running.report.unmet == [f"{scored} windows compared, 200 are wanted"]
        running.feed(10)
        wait_until(lambda: told(running.report) == ("2.0", "1.0", "probation"), 30, "promotion")
        running.wait_events("bundle_installed", "bundle_shadowed", "bundle_activated")
        assert running.security[-1]["by"] is None
        assert told(running.ask("bundle.promote", bundle="pump")) == ("2.0", "1.0", None), (
            "and its probation is cut short"
        )
        running.wait_events("bundle_confirmed")


def test_a_comparison_is_ended_by_command_and_outlives_a_restart(tmp_path: Path) -> None:
    box = Box(tmp_path)
    with box.running() as running:
        running.ask("bundle.install", file=str(box.file(bundle(2))))
        running.ask("bundle.shadow", bundle="pump")
    with box.running() as running:
        assert running.report.trial == "shadow"
        running.feed(5)
        wait_until(lambda: running.report.compared.windows > 0, 30, "compared again")
        assert told(running.ask("bundle.shadow", bundle="pump", stop=True)) == ("1.0", "2.0", None)
        assert "no bundle 'pump' is in the shadow" in running.ask("bundle.shadow", bundle="pump", stop=True)


def test_other_windows_cannot_be_compared_and_the_refusal_says_what_can(tmp_path: Path) -> None:
    box = Box(tmp_path)
    with box.running() as running:
        other = msgspec.structs.replace(CONTRACT, hop=8)
        running.ask("bundle.install", file=str(box.file(bundle(2, contract=other))))
        assert "activate it, and its probation watches over it" in running.ask("bundle.shadow", bundle="pump")
        assert running.report.trial is None


def test_three_ends_without_a_stop_lead_back_and_a_stop_in_good_order_does_not(tmp_path: Path) -> None:
    box = Box(tmp_path, LONG)
    with box.running() as running:
        running.ask("bundle.install", file=str(box.file(bundle(2))))
        running.ask("bundle.activate", bundle="pump")
    for _ in range(5):
        with box.running() as running:
            assert told(running.report) == ("2.0", "1.0", "probation")
    store = read_store(tmp_path / "state")
    for _ in range(4):
        store.run_begun(3)  # and no end
    with box.running() as running:
        assert told(running.report) == ("1.0", "2.0", None)
        running.wait_events("bundle_returned")
        assert "the agent ended without a stop 3 times" in running.security[0]["what"]
    with box.running() as running:
        assert running.events == [], "it is told once"


def test_an_active_bundle_that_is_damaged_on_disk_gives_way_to_the_one_before(tmp_path: Path) -> None:
    box = Box(tmp_path, LONG)
    with box.running() as running:
        running.ask("bundle.install", file=str(box.file(bundle(2))))
        running.ask("bundle.activate", bundle="pump")
        running.ask("bundle.promote", bundle="pump")
    path = next((tmp_path / "state" / "bundles").glob("pump.b.stethos"))
    path.write_bytes(path.read_bytes()[:-1])
    for _ in range(2):
        with box.running() as running:
            assert running.checked.machines["one"].bundle.manifest.version == "1.0"
            assert told(running.report) == ("1.0", "2.0", None)
            assert "is damaged" in running.report.other.barred


def test_two_programs_do_not_work_on_one_store(tmp_path: Path) -> None:
    with Box(tmp_path).running(), pytest.raises(BundleError, match="in use: another agent or command"):
        locked_store(tmp_path / "state", wait_s=0.2).__enter__()


def test_what_makes_no_sense_is_refused_with_the_reason(tmp_path: Path) -> None:
    box = Box(tmp_path)
    with box.running() as running:
        assert running.ask("bundle.activate", bundle="pump").endswith("install one first")
        assert "there is nothing to promote" in running.ask("bundle.promote", bundle="pump")
        assert "no earlier bundle" in running.ask("bundle.rollback", bundle="pump")
        assert "install one first" in running.ask("bundle.shadow", bundle="nobody")


def test_a_newer_root_of_trust_is_noted_and_told_of(tmp_path: Path) -> None:
    box = Box(tmp_path)
    file = tmp_path / "plant.root"
    file.write_bytes(root.sign(root.new([KEY.public_key()], 1, None), [KEY]))
    box.config.write_text(box.config.read_text().replace('keys = ["release.pub"]', 'root = "plant.root"'))
    with box.running() as running:
        assert running.events == []
    assert read_store(tmp_path / "state").memory().root is not None
    other = Ed25519PrivateKey.generate()
    newer = root.change(file.read_bytes(), add=[other.public_key()], threshold=1, expires=None)
    file.write_bytes(root.sign(newer, [KEY, other]))
    with box.running() as running:
        running.wait_events("root_rotated")
    with box.running() as running:
        assert running.events == []


def test_a_file_that_was_run_before_lets_no_older_one_run_unless_somebody_wants_it(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.config.write_text(box.config.read_text().replace('bundle = "pump"', 'bundle = "fan.stethos"'))
    box.file(bundle(3, name="fan"), "fan.stethos")
    with box.running() as running:
        wait_until(lambda: read_store(tmp_path / "state").memory().highest("fan") == 3, 30, "its release noted")
        assert running.report.machines == []
    box.file(bundle(2, name="fan"), "fan.stethos")
    with pytest.raises(ConfigError, match="an older release is not taken"):
        check(box.config, list)
    box.offline(lambda store: store.roll_back("fan", "the newer one was worse"))
    with box.running() as running:
        assert running.checked.machines["one"].bundle.manifest.counter == 2
        running.wait_events("bundle_rolled_back")


def test_what_was_commissioned_for_the_old_model_is_not_used_with_the_new_one(tmp_path: Path) -> None:
    box = Box(tmp_path, LONG)
    with box.running() as running:
        machine = running.checked.machines["one"]
        commissioned = tmp_path / "state" / "commissioning" / "one.json"
        commissioned.parent.mkdir()
        commissioned.write_bytes(encode(_commissioning(machine)))
    with box.running() as running:
        assert running.bundles.fleet.machines["one"].commissioned is not None
        running.ask("bundle.install", file=str(box.file(bundle(2))))
        running.ask("bundle.activate", bundle="pump")
        after = running.bundles.fleet.machines["one"]
        assert after.commissioned is None
        assert "bundle" in str(after.refused)
        assert commissioned.exists()
        running.ask("bundle.rollback", bundle="pump")
        assert running.bundles.fleet.machines["one"].commissioned is not None, "the old model has it back"


def _commissioning(machine) -> Commissioning:
    manifest, usual = machine.bundle.manifest, ChannelBaseline(low=-1, middle=0, high=1, spread=1, bands=[])
    return commissioning(
        machine=machine.id,
        bundle_sha256=machine.bundle.digest,
        channels=machine.config.channels,
        corrections=[Correction()] * 2,
        calibration=manifest.calibration,
        channel_usual=[1.0, 1.0],
        baseline=Baseline(band_edges_hz=[], channels=[usual] * 2),
    )
