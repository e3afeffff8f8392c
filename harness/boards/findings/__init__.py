"""What papers state of methods, as objects that published numbers, a board or runs support, contradict or leave undecided."""
