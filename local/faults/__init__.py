"""The storm: the whole fabric in one process under a seeded weather of faults, and what must hold all the same."""
