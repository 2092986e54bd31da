"""Pure: what is wrong with the sensors themselves, told from their own values, so that the machine is not blamed for it."""
