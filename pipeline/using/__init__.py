"""What is done with a finished student: asked, measured, exported."""
