"""How the networks that the package carries are trained."""
