"""Status and service levels of features: pure arithmetic on intervals, without I/O and without a clock."""
