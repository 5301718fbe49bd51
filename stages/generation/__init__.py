"""A trained student as a teacher: the one room of the stages that knows both.

`stages/teacher` finds it by name, as it finds a module of the user's own, and never imports it; `stages/student` knows
nothing of it.
"""
