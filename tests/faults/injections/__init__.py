"""The faults, one file per component that fails; every file here is discovered automatically."""
