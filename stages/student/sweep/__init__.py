"""Sweeps: one student of the configuration becomes many, which differ in the settings that are tried."""
