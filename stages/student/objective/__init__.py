"""The weighted terms of a trial, and how outputs and signals meet."""
