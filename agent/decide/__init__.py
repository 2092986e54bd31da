"""Decide: scores to alarms, through a calibrated rate and a life cycle; summaries beside them. Pure."""
