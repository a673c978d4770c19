"""Networks from one picture to another."""
