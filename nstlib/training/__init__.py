"""Trainings of the networks that the package ships."""
