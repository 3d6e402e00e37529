"""Where tasks run: here, in threads, in processes, through joblib, on a Dask cluster."""
