"""Papers of a bundle: model card, licences, bill of materials, and what a second build gives again."""
