"""Robustness to noise, blur, weather and digital corruptions."""
