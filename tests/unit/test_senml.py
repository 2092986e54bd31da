"""SenML: every example of RFC 8428, sections 5 and 6, and the rules of section 4 for names, units, times, values and versions."""

import json
import math

import cbor2
import numpy as np
import pytest

from agent.decode.decoder import Decoder
from agent.decode.encode import Encoder
from agent.decode.senml_records import LABELS, Entry, absolute_ns, cbor_entries, resolve
from agent.decode.senml_units import means, senml, ucum
from agent.errors import DecodeError
from agent.types import Chunk, TimeQuality
from tests.harness.profiles import make

NOW = 1_700_000_000_000_000_000
ONE_WIRE = "urn:dev:ow:10e2073a01080063"

SINGLE = '[{"n":"urn:dev:ow:10e2073a01080063","u":"Cel","v":23.1}]'
NOW_PAIR = '[{"bn":"urn:dev:ow:10e2073a01080063:","n":"voltage","u":"V","v":120.1},{"n":"current","u":"A","v":1.2}]'
CURRENTS = """[
  {"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076001e+09,"bu":"A","bver":5,"n":"voltage","u":"V","v":120.1},
  {"n":"current","t":-5,"v":1.2},{"n":"current","t":-4,"v":1.3},{"n":"current","t":-3,"v":1.4},
  {"n":"current","t":-2,"v":1.5},{"n":"current","t":-1,"v":1.6},{"n":"current","v":1.7}]"""
STREAMED = """[{"bn":"urn:dev:ow:10e2073a01080063","bt":1.320067464e+09,"bu":"%RH","v":21.2},{"t":10,"v":21.3},{"t":20,"v":21.4},
  {"t":30,"v":21.4},{"t":40,"v":21.5},{"t":50,"v":21.5},{"t":60,"v":21.5},{"t":70,"v":21.6},{"t":80,"v":21.7}]"""
MEASUREMENTS = """[
  {"bn":"urn:dev:ow:10e2073a01080063","bt":1.320067464e+09,"bu":"%RH","v":20},
  {"u":"lon","v":24.30621},{"u":"lat","v":60.07965},{"t":60,"v":20.3},{"u":"lon","t":60,"v":24.30622},
  {"u":"lat","t":60,"v":60.07965},{"t":120,"v":20.7},{"u":"lon","t":120,"v":24.30623},{"u":"lat","t":120,"v":60.07966},
  {"u":"%EL","t":150,"v":98},{"t":180,"v":21.2},{"u":"lon","t":180,"v":24.30628},{"u":"lat","t":180,"v":60.07967}]"""
RESOLVED = [
  ("%RH", 1.320067464e09, 20), ("lon", 1.320067464e09, 24.30621), ("lat", 1.320067464e09, 60.07965),
  ("%RH", 1.320067524e09, 20.3), ("lon", 1.320067524e09, 24.30622), ("lat", 1.320067524e09, 60.07965),
  ("%RH", 1.320067584e09, 20.7), ("lon", 1.320067584e09, 24.30623), ("lat", 1.320067584e09, 60.07966),
  ("%EL", 1.320067614e09, 98),
  ("%RH", 1.320067644e09, 21.2), ("lon", 1.320067644e09, 24.30628), ("lat", 1.320067644e09, 60.07967),
]  # fmt: skip
TYPES = """[{"bn":"urn:dev:ow:10e2073a01080063:","n":"temp","u":"Cel","v":23.1},{"n":"label","vs":"Machine Room"},
  {"n":"open","vb":false},{"n":"nfv-reader","vd":"aGkgCg"}]"""
COLLECTION = """[{"bn":"2001:db8::2/","bt":1.320078429e+09,"n":"temperature","u":"Cel","v":25.2},{"n":"humidity","u":"%RH","v":30},
  {"bn":"2001:db8::1/","n":"temperature","u":"Cel","v":12.3},{"n":"humidity","u":"%RH","v":67}]"""
ACTUATOR = """[{"bn":"urn:dev:ow:10e2073a01080063:"},{"n":"temp","u":"Cel","v":23.1},{"n":"heat","u":"/","v":1},
  {"n":"fan","u":"/","v":0}]"""
LIGHTS_ON = '[{"bt":1.320078429e+09,"bu":"/","n":"2001:db8::3","v":1},{"n":"2001:db8::4","v":1}]'
LIGHTS_DIMMED = """[{"bt":1.320078429e+09,"bu":"/","n":"2001:db8::3","v":0.5},{"n":"2001:db8::4","v":0.5},
  {"n":"2001:db8::3","t":0.1,"v":0},{"n":"2001:db8::4","t":0.1,"v":0}]"""
DUMP = bytes.fromhex(  # section 6
    "87a721781b75726e3a6465763a6f773a3130653230373361303130383030363a22fb41d303a15b0010622361412005006766f6c74616765"
    .replace("6766f6c7", "67766f6c7")
    + "01615602fb405e066666666666a3006763757272656e74062402fb3ff3333333333333a3006763757272656e74062302fb3ff4cccccccccccd"
    "a3006763757272656e74062202fb3ff6666666666666a3006763757272656e74062102f93e00a3006763757272656e74062002fb3ff999999999999a"
    "a3006763757272656e74060002fb3ffb333333333333"
)  # fmt: skip
EXAMPLES = [SINGLE, NOW_PAIR, CURRENTS, STREAMED, MEASUREMENTS, TYPES, COLLECTION, ACTUATOR, LIGHTS_ON, LIGHTS_DIMMED]


def profile(encoding="json", kind="device", **channels):
    """`name = (SenML name, UCUM unit, rest of the selector)`."""
    fields = "\n".join(
        f'{name} = {{ name = "{senml_name}"{rest} }}' for name, (senml_name, _, rest) in channels.items()
    )
    units = ", ".join(f'{{ name = "{name}", unit = "{unit}" }}' for name, (_, unit, _) in channels.items())
    return make(
        f'framing = {{ kind = "message" }}\ntime = {{ kind = "{kind}" }}\nchannel = [{units}]\n'
        f'[senml]\nencoding = "{encoding}"\n[senml.fields]\n{fields}',
        transport="mqtt",
    )


def read(pack, decoder=None, **channels):
    data = pack if isinstance(pack, bytes) else pack.encode()
    decoder = decoder or Decoder(profile(**channels), "d")
    return decoder.feed([Chunk("d", data, NOW)])


def entries(text):
    return [Entry(**{key: value for key, value in entry.items() if key != "vd"}) for entry in json.loads(text)]


class TestExamples:
    def test_5_1_1_a_reading_taken_now(self):
        batch = read(SINGLE, t=(ONE_WIRE, "Cel", ""))
        assert batch.values.tolist() == [[np.float32(23.1)]]
        assert batch.t_ns.tolist() == [NOW]
        assert batch.time_quality is TimeQuality.ARRIVAL

    def test_5_1_2_two_readings_of_one_time_are_one_sample(self):
        batch = read(NOW_PAIR, v=(f"{ONE_WIRE}:voltage", "V", ""), c=(f"{ONE_WIRE}:current", "A", ""))
        np.testing.assert_allclose(batch.values, [[120.1, 1.2]], rtol=1e-6)

    @pytest.mark.parametrize("pack", [CURRENTS, DUMP], ids=["json", "cbor"])
    def test_5_1_2_and_6_a_base_time_and_seconds_before_it(self, pack):
        base = "urn:dev:ow:10e2073a0108006:"
        channels = {"v": (f"{base}voltage", "V", ""), "c": (f"{base}current", "A", "")}
        decoder = Decoder(profile("json" if pack is CURRENTS else "cbor", **channels), "d")
        batch = read(pack, decoder)
        newest_ns = 1_276_020_076_001_000_000
        assert (batch.t_ns - newest_ns).tolist() == [-second * 10**9 for second in (5, 4, 3, 2, 1, 0)]
        np.testing.assert_allclose(batch.values[:, 1], [1.2, 1.3, 1.4, 1.5, 1.6, 1.7], rtol=1e-6)
        np.testing.assert_allclose(batch.values[:, 0], [math.nan] * 5 + [120.1], rtol=1e-6)
        assert batch.time_quality is TimeQuality.DEVICE

    def test_5_1_2_the_stream(self):
        batch = read(STREAMED, h=(ONE_WIRE, "%", ""))
        np.testing.assert_allclose(
            batch.values[:, 0], [21.2, 21.3, 21.4, 21.4, 21.5, 21.5, 21.5, 21.6, 21.7], rtol=1e-6
        )
        assert np.diff(batch.t_ns).tolist() == [10**10] * 8

    def test_5_1_3_one_name_with_several_units(self):
        batch = read(
            MEASUREMENTS, humidity=(ONE_WIRE, "%", ', unit = "%RH"'), lat=(ONE_WIRE, "deg", ', unit = "lat"'),
            lon=(ONE_WIRE, "deg", ', unit = "lon"'), battery=(ONE_WIRE, "%", ', unit = "%EL"'),
        )  # fmt: skip
        nan = math.nan
        wanted = [
            [20, 60.07965, 24.30621, nan], [20.3, 60.07965, 24.30622, nan], [20.7, 60.07966, 24.30623, nan],
            [nan, nan, nan, 98], [21.2, 60.07967, 24.30628, nan],
        ]  # fmt: skip
        np.testing.assert_allclose(batch.values, wanted, rtol=1e-6)
        assert (batch.t_ns // 10**9 - 1_320_067_464).tolist() == [0, 60, 120, 150, 180]

    def test_5_1_4_resolved(self):
        found = [(record.unit, record.time_s, record.value) for record in resolve(entries(MEASUREMENTS))]
        assert found == RESOLVED
        assert {record.name for record in resolve(entries(MEASUREMENTS))} == {ONE_WIRE}

    def test_5_1_5_truth_values_are_numbers_and_text_is_none(self):
        decoder = Decoder(
            profile(
                t=(f"{ONE_WIRE}:temp", "Cel", ""), o=(f"{ONE_WIRE}:open", "1", ""), s=(f"{ONE_WIRE}:label", "1", "")
            ),
            "d",
        )
        batch = read(TYPES, decoder)
        np.testing.assert_allclose(batch.values, [[23.1, 0, math.nan]], rtol=1e-6)

    def test_5_1_6_base_name_and_base_time_from_different_records(self):
        names = {
            "a": "2001:db8::2/temperature",
            "b": "2001:db8::2/humidity",
            "c": "2001:db8::1/temperature",
            "d": "2001:db8::1/humidity",
        }
        batch = read(COLLECTION, **{key: (name, "Cel" if "temp" in name else "%", "") for key, name in names.items()})
        np.testing.assert_allclose(batch.values, [[25.2, 30, 12.3, 67]], rtol=1e-6)
        assert batch.t_ns.tolist() == [1_320_078_429_000_000_000]

    def test_5_1_7_set_points_are_readings_to_whoever_listens(self):
        batch = read(
            ACTUATOR, t=(f"{ONE_WIRE}:temp", "Cel", ""), h=(f"{ONE_WIRE}:heat", "1", ""), f=(f"{ONE_WIRE}:fan", "1", "")
        )
        np.testing.assert_allclose(batch.values, [[23.1, 1, 0]], rtol=1e-6)
        lights = {"a": ("2001:db8::3", "1", ""), "b": ("2001:db8::4", "1", "")}
        assert read(LIGHTS_ON, **lights).values.tolist() == [[1, 1]]
        dimmed = read(LIGHTS_DIMMED, **lights)
        assert dimmed.values.tolist() == [[0.5, 0.5], [0, 0]]
        assert np.diff(dimmed.t_ns).tolist() == [100_000_000]

    @pytest.mark.parametrize("text", EXAMPLES)
    def test_6_cbor_says_the_same_as_json(self, text):
        labels = {label: number for number, label in LABELS.items()}
        pack = cbor2.dumps(
            [{labels[key]: value for key, value in entry.items() if key != "vd"} for entry in json.loads(text)]
        )
        assert resolve(cbor_entries(pack)) == resolve(entries(text))

    def test_6_the_dump_is_the_json_example(self):
        assert resolve(cbor_entries(DUMP)) == resolve(entries(CURRENTS))


class TestRules:
    def test_4_5_4_base_values_and_sums_are_added(self):
        pack = '[{"bn":"x","bv":20,"bs":100,"bu":"W","v":1,"s":5},{"v":-20},{"s":2}]'
        batch = read(pack, value=("x", "W", ""), total=("x", "W.s", ', part = "sum"'))
        np.testing.assert_array_equal(batch.values, [[21, 105], [0, 100], [math.nan, 102]])

    def test_4_5_3_a_time_below_2_to_the_28_is_relative_to_the_arrival(self):
        batch = read(
            '[{"n":"x","t":-2.5,"v":1},{"n":"x","t":3,"v":2},{"n":"x","v":3},{"n":"x","t":268435455,"v":4}]',
            x=("x", "1", ""),
        )
        assert (batch.t_ns - NOW).tolist()[:3] == [-2_500_000_000, 0, 3_000_000_000]
        assert absolute_ns(268_435_455.0, NOW) == NOW + 268_435_455 * 10**9
        assert absolute_ns(268_435_456.0, NOW) == 268_435_456 * 10**9

    def test_4_4_later_versions_and_fields_that_must_be_understood_are_refused(self):
        decoder = Decoder(profile(x=("x", "1", "")), "d")
        for pack in ('[{"n":"x","v":1,"bver":11}]', '[{"n":"x","v":1,"new_":5}]'):
            assert read(pack, decoder) is None
        assert decoder.counters["decode_errors"] == 2
        assert read('[{"n":"x","v":1,"bver":10,"new":5,"vs_x":1,"note":"a_"}]', decoder).values.tolist() == [[1]]
        with pytest.raises(DecodeError, match="must be understood"):
            cbor_entries(cbor2.dumps([{0: "x", 2: 1, "new_": 5}]))

    def test_units_are_held_against_the_channel(self):
        decoder = Decoder(profile(a=("a", "m/s2", ""), r=("r", "1/min", ""), e=("e", "kW.h", "")), "d")
        batch = read('[{"n":"a","u":"m/s2","v":1},{"n":"r","u":"1/min","v":2},{"n":"e","u":"kWh","v":3}]', decoder)
        assert batch.values.tolist() == [[1, 2, 3]]
        assert read('[{"n":"a","u":"g","v":1},{"n":"e","u":"Wh","v":3}]', decoder) is None
        assert decoder.counters["unit_errors"] == 2
        assert decoder.counters["skipped"] == 1
        assert read('[{"n":"a","v":5}]', decoder).values[0, 0] == 5  # without a unit the profile knows it

    @pytest.mark.parametrize(
        ("symbol", "unit"),
        [("Cel", "Cel"), ("%RH", "%"), ("m/s2", "m/s2"), ("A", "A"), ("V", "V"), ("W", "W"), ("lx", "lx"), ("/", "1"), ("count", "1"),
         ("lat", "deg"), ("pH", "[pH]"), ("1/min", "/min"), ("VA", "V.A"), ("l/s", "L/s"), ("hPa", "hPa"), ("Ohm", "Ohm")],
    )  # fmt: skip
    def test_iana_symbols_mean_ucum_units(self, symbol, unit):
        assert ucum(symbol) == unit
        assert means(symbol, unit)
        assert means(senml(unit), unit)
        assert not means(symbol, "kg")

    def test_an_energy_in_joules_is_no_power(self):
        assert not means("J", "W.s")  # the same dimension, another unit text: the profile must say what the device says

    @pytest.mark.parametrize(
        "pack",
        ["", "{}", "[1]", '[{"n":5,"v":1}]', '[{"n":"x","v":"1"}]', '[{"n":"x","v":1,"bt":1e300}]', '[{"n":"x","v":1', "null",
         '[{"n":"x","v":1,"t":1e19}]', "[" * 5_000],
    )  # fmt: skip
    def test_what_is_no_pack_is_counted(self, pack):
        decoder = Decoder(profile(x=("x", "1", "")), "d")
        assert read(pack, decoder) is None
        assert decoder.counters["decode_errors"] == bool(pack) - (len(pack) > 4_096)

    def test_a_base_name_that_every_record_would_repeat_has_a_bound(self):
        decoder = Decoder(profile(x=("x", "1", "")), "d")
        assert read('[{"bn":"%s","n":"x","v":1}]' % ("y" * 2_000), decoder) is None
        assert decoder.counters["decode_errors"] == 1

    def test_a_time_far_before_all_times_is_counted(self):
        decoder = Decoder(profile(x=("x", "1", "")), "d")
        assert read('[{"n":"x","v":1,"t":-1e305}]', decoder) is None
        assert decoder.counters["decode_errors"] == 1

    def test_decimal_fractions_are_numbers_in_cbor(self):
        decoder = Decoder(profile("cbor", x=("x", "1", "")), "d")
        pack = bytes.fromhex("81a2006178" + "02c482211904d2")  # 1234 * 10**-2
        assert read(pack, decoder).values.tolist() == [[np.float32(12.34)]]

    @pytest.mark.parametrize(
        "pack",
        ["ff", "9b7fffffffffffffff", "81a1", "d81c81d81d00", "81a2006178" + "02c4821b7fffffffffffffff01", "81" * 500, "81a2f4f5f5f5", "818181",
         "81a300617802010202"],
    )  # fmt: skip
    def test_hostile_cbor_is_counted(self, pack):
        decoder = Decoder(profile("cbor", x=("x", "1", "")), "d")
        assert read(bytes.fromhex(pack), decoder) is None
        assert decoder.counters["decode_errors"] + decoder.counters["skipped"] == 1

    @pytest.mark.parametrize("encoding", ["json", "cbor"])
    def test_the_encoder_writes_what_is_read(self, encoding):
        node = profile(
            encoding, t=("n:t", "Cel", ""), s=("n:s", "W.s", ', part = "sum"'), h=("n:h", "%", ', unit = "%RH"')
        )
        payload = Encoder(node).frame([21.5, 60.0, math.nan], NOW + 1_000_000)
        batch = Decoder(node, "d").feed([Chunk("d", payload, NOW)])
        np.testing.assert_array_equal(batch.values, [[21.5, 60, math.nan]])
        assert batch.t_ns.tolist() == [NOW + 1_000_000]

    def test_arrival_time_ignores_what_the_pack_says(self):
        decoder = Decoder(profile(kind="arrival", x=("x", "1", ""), y=("y", "1", "")), "d")
        batch = read('[{"n":"x","bt":1.5e9,"v":1},{"n":"y","t":-9,"v":2}]', decoder)
        assert batch.values.tolist() == [[1, 2]]
        assert batch.t_ns.tolist() == [NOW]
