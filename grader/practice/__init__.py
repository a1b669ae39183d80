"""Practice on code that works: bugs planted in it, questions about it, its run line by line."""
