"""What must hold of a service's rows and files, whatever went wrong: I1 to I10, a function each."""
