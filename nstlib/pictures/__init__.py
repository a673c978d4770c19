"""Picture files and what is in them: from bytes to arrays and back."""
