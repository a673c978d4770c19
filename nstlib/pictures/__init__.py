"""Picture files: from bytes to arrays and back."""
