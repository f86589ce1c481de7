"""Pure: conversations mended and rewritten for the model that reads them next."""
