"""Sorts out pictures by concepts, at thresholds that labelled examples have set."""
