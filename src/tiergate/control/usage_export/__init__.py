"""Writes usage to an object store, for warehouses: one folder of Parquet files for each dataset and day."""
