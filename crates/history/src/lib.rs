//! Parquet history: reading, writing, importing and resampling.
