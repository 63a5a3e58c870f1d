"""The faults, a file for each thing that breaks; every file here is found by itself."""
