"""Common corruptions of images, 15 kinds at 5 severities (Hendrycks & Dietterich 2019)."""
