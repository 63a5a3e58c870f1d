"""The invariants of a service's rows and files, I1 to I10, one function each."""
