"""What routekit costs, beside its peers, in one run. See README.md in this folder."""
