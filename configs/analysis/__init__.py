"""``lightning analyse``: the figures and tables of the thesis that are no accuracy of a run."""
