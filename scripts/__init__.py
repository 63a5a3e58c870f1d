"""Programs for work on this repository; not part of the distribution."""
