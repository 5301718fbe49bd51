"""A finished student as a folder that runs without torch and without this project: see docs/export.md."""
