"""From the store to one self-contained page: tables, figures, findings, failures, provenance. No torch, no methods."""
