"""Private data that has a form: numbers with check digits, addresses of machines, dates of birth."""
