"""Profiles of message formats: mistakes are named where they stand."""

import pytest

from agent.errors import ConfigError
from tests.harness.profiles import check_mistake, make

HEAD = 'framing = { kind = "message" }\ntime = { kind = "device" }\nchannel = [{ name = "a", unit = "A" }]\n'
INFLUX = HEAD + 'influx = { fields = { a = { measurement = "m", field = "f" } } }'
SENML = HEAD + 'senml = { fields = { a = { name = "n" } } }'
SPARKPLUG = HEAD + 'sparkplug = { fields = { a = { metric = "m" } } }'


@pytest.mark.parametrize("body", [INFLUX, SENML, SPARKPLUG])
def test_these_are_sound(body):
    assert make(body, transport="mqtt").field_names == ["a"]


@pytest.mark.parametrize(
    ("body", "old", "new", "said"),
    [
        (INFLUX, '"device"', '"counter"', "this format counts no samples"),
        (INFLUX, 'kind = "device"', 'kind = "device", field = "a", unit = "s"', "knows by itself where its times stand"),
        (INFLUX, 'kind = "device"', 'kind = "arrival", unit = "s"', "knows by itself where its times stand"),
        (INFLUX, 'time = { kind = "device" }', 'time = { kind = "device" }\nsequence = { field = "a", bits = 8 }', "no counter of samples to name"),
        (INFLUX, 'measurement = "m"', 'measurement = ""', "influx.fields.a.measurement: the name is empty"),
        (INFLUX, 'measurement = "m", ', "", "the key 'measurement' is missing"),
        (INFLUX, 'name = "a"', 'name = "b"', "the record has no field 'b'"),
        (SENML, 'name = "n"', 'name = ""', "senml.fields.a.name: the name is empty"),
        (SENML, 'name = "n"', 'name = "n", part = "mean"', "'mean' is no choice here"),
        (SENML, "senml = {", 'senml = { encoding = "xml", ', "'xml' is no choice here"),
        (SPARKPLUG, 'metric = "m"', 'metric = ""', "sparkplug.fields.a.metric: the name is empty"),
        (SPARKPLUG, 'metric = "m"', 'metrik = "m"', "unknown key 'metrik' (did you mean 'metric'?)"),
        (SPARKPLUG, "sparkplug", 'csv = { columns = ["a"] }\nsparkplug', "csv and sparkplug record format is given"),
    ],
)  # fmt: skip
def test_each_mistake_is_named(body, old, new, said):
    check_mistake(body, old, new, said, "mqtt")


@pytest.mark.parametrize("body", [SENML, SPARKPLUG])
def test_messages_need_a_broker(body):
    with pytest.raises(ConfigError, match="one MQTT payload is one message"):
        make(body.replace('"message"', '"lines"'))
