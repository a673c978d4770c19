"""What is asked of a picture: the terms of its loss."""
