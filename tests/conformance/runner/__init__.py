"""Runs the scenarios of `spec/scenarios` between every two subjects."""
