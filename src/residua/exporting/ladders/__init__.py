"""The ladders to int8: for each runtime recipes from plain to careful, of which the first that passes is taken."""
