"""Prepare: datasets in, normalised parquet out, every refusal named by dataset, file and line.

Room law: pyarrow at most, one row and one batch in memory at a time. Order: ``sources`` (which
files), ``rows`` (what a row must look like), ``reading`` (lines and batches), ``parquet`` (what
is written), ``stage`` (the whole).
"""
