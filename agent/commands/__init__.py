"""What may be asked of a running agent, by whom, and how it is answered; the same over MQTT and on the box."""
