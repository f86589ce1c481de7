"""Prompts made smaller before they are sent."""
