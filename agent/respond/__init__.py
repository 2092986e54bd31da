"""Responses of alarms, carried out: programs, commands to devices, MQTT messages, in a thread that nothing else waits for."""
