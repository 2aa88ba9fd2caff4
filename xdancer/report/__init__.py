"""Self-contained HTML reports: videos, pictures, curves and tables in one file that opens in any browser."""
