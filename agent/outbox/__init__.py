"""What must reach the broker, safe on disk until the broker has it."""
