"""A profile as a C99 header, so that firmware and agent share one description of their frames."""
