"""Programs for developing this repository; not part of the distribution."""
