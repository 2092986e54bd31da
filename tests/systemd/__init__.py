"""The Debian package and its service under a real booted systemd; `scripts/test-systemd` runs these."""
