"""What an outcome and a set of examined layers mean: the verdict, whose move it is, the next steps."""
