"""Prompts that want to be obeyed and must not be: rules after undoing disguises, and a small linear model."""
