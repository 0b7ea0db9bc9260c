"""The program of the benchmark's image."""
