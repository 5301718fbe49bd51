"""Batch jobs: a command is cut into tasks of the same command line, and an engine starts them somewhere else.

Nothing here schedules anything, and nothing is trusted to say that work is done: receipts and finished students say it.
"""
